"""Other plugins' rules hold here too: what they hide, what they forbid, what they open."""

import pytest
from treenail.contributions import Rule
from treenail.plugin import Plugin, hookimpl
from treenail_workspaces.models import Document

HIDDEN, FROZEN, OPEN = "hidden", "frozen", "open"


class Curtain(Plugin):
    """Makes titles count, for everybody but the tenant's owner."""

    name = "curtain"
    version = "1.0"

    @hookimpl
    def rules(self, principal, permission, resource_type):
        """Two denials and an allowance."""
        if resource_type.name == "document" and not principal.is_owner:
            yield Rule("deny", Document.title == HIDDEN, "behind the curtain")
            if permission == "document:update":
                yield Rule("deny", Document.title == FROZEN, "frozen")
            if permission == "document:read":
                yield Rule("allow", Document.title == OPEN, "open to all")


@pytest.fixture(scope="module")
def plugins():
    return {"curtain": Curtain}


@pytest.fixture(scope="module")
def environ():
    return {"TREENAIL_PLUGINS": "rbac,workspaces,curtain"}


@pytest.fixture
def bob(tenant, workspace):
    """An owner of the workspace."""
    person = tenant.member("member")
    path = f"/workspaces/{workspace}/members/{person.user_id}"
    tenant.owner.put(path, {"role": "owner"})
    return person


@pytest.fixture
def titled(tenant, document):
    """Give the document a title."""
    return lambda title: tenant.owner.patch(f"/documents/{document}", {"title": title})


def test_the_feed_tells_nothing_of_hidden_documents(
    tenant, workspace, document, bob, titled, run_tasks
):
    def types(caller):
        run_tasks()
        items = caller.get(f"/workspaces/{workspace}/activity").json["items"]
        return {item["type"] for item in items}

    assert "document.created" in types(bob)
    titled(HIDDEN)
    tenant.owner.post(f"/documents/{document}/links", {"role": "viewer"})
    assert types(bob) == {"role.granted", "workspace.created"}
    assert {"document.created", "document.updated", "link.created"} <= types(tenant.owner)


def test_hidden_documents_are_not_found(workspace, document, bob, titled):
    titled(HIDDEN)
    for path in (f"/workspaces/{workspace}/documents", "/documents"):
        assert bob.get(f"{path}?q=hid&sort=title").json["items"] == []


def test_nobody_shares_what_they_may_not_do(document, bob, titled):
    titled(FROZEN)
    path = f"/documents/{document}/links"
    refused = bob.post(path, {"role": "editor"})
    assert (refused.status, refused.json["permission"]) == (403, "document:update")
    assert bob.post(path, {"role": "viewer"}).status == 201


def test_a_link_gives_no_more_than_its_maker_may_do_by_then(tenant, document, bob, titled):
    path = f"/documents/{document}/links"
    urls = [by.post(path, {"role": "editor"}).json["url"] for by in (tenant.owner, bob)]
    owners, bobs = (f"/links/{url.rpartition('/')[2]}" for url in urls)
    titled(FROZEN)
    eve = tenant.member("guest")
    for opened in range(2):  # nor does it add to what another link has given
        answer = eve.post(bobs)
        assert (answer.status, answer.json["permission"]) == (403, "document:update")
        assert opened or eve.post(owners).status == 200


def test_what_is_open_to_all_is_not_shared_with_anybody(tenant, document, titled):
    titled(OPEN)
    ann = tenant.member("member")
    assert [d["id"] for d in ann.get("/documents").json["items"]] == [document]
    assert ann.get("/documents?shared=withMe").json["items"] == []
