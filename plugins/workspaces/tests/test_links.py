"""Share links: what they give, to whom, until when, and what revoking takes back."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
import time_machine
from sqlalchemy import select
from treenail.clock import rfc3339, utcnow
from treenail.db import system_session
from treenail.testing.callers import make_person
from treenail_workspaces.links import TRIES, WINDOW
from treenail_workspaces.models import Link


@pytest.fixture
def share(tenant, document):
    """Make a link; returns its id and the address to open it at."""

    def make(role="viewer", by=tenant.owner, **more):
        made = by.post(f"/documents/{document}/links", {"role": role, **more})
        assert made.status == 201, made.json
        return made.json["id"], "/links/" + made.json["url"].rpartition("/links/")[2]

    return make


@pytest.fixture
def stranger(app):
    """Somebody of no tenant."""
    return make_person(app)


def role_of(caller, tenant, document):
    """The role the caller has on the document, None where it is not seen."""
    answer = caller.get(f"/documents/{document}", headers={"X-Tenant-Id": tenant.id})
    return answer.json["role"] if answer.status == 200 else None


def test_a_link_is_made_listed_and_revoked(tenant, document, captured_events):
    path = f"/documents/{document}/links"
    later = rfc3339(utcnow() + timedelta(days=1))
    made = tenant.owner.post(path, {"role": "editor", "expiresAt": later, "password": "oak"})
    shown = dict(made.json)
    assert shown.pop("url").startswith("http://127.0.0.1:8000/links/")
    assert (shown["role"], shown["expiresAt"], shown["hasPassword"]) == ("editor", later, True)
    assert tenant.owner.get(path).json["items"] == [shown]
    assert tenant.owner.delete(f"{path}/{shown['id']}").status == 204
    assert tenant.owner.delete(f"{path}/{shown['id']}").status == 404
    assert tenant.owner.get(path).json["items"] == []
    for event in ("link.created", "link.revoked"):
        assert [e.data["linkId"] for e in captured_events(event)] == [shown["id"]]


def test_only_hashes_of_token_and_password_are_stored(app, share):
    link_id, address = share(password="oak")
    with app.app_context(), system_session("test") as session:
        row = session.scalars(select(Link).where(Link.id == link_id)).one()
        stored = repr([getattr(row, column.key) for column in Link.__table__.columns])
    assert address.rpartition("/")[2] not in stored
    assert "oak" not in stored


def test_a_stranger_becomes_a_guest_who_sees_that_document_alone(
    tenant, workspace, document, share, stranger, captured_events
):
    _, address = share("editor")
    opened = stranger.post(address)
    assert (opened.status, opened.json["role"]) == (200, "editor")
    assert (opened.json["document"]["id"], opened.json["tenantId"]) == (document, tenant.id)
    assert opened.json["document"]["role"] == "editor"
    me = stranger.get("/me").json["user"]
    assert (me["tenantId"], me["roles"], me["spaces"]) == (tenant.id, ["guest"], [])
    assert stranger.patch(f"/documents/{document}", {"title": "Ours"}).status == 200
    assert stranger.get(f"/workspaces/{workspace}").status == 404
    listed = stranger.get("/documents?shared=withMe").json["items"]
    assert [item["id"] for item in listed] == [document]
    (event,) = captured_events("link.opened")
    assert (event.actor_id, event.data["workspaceId"]) == (stranger.user_id, workspace)


def test_opening_twice_is_opening_once(tenant, document, share, stranger):
    link_id, address = share()
    assert [stranger.post(address).status for _ in range(2)] == [200, 200]
    tenant.owner.delete(f"/documents/{document}/links/{link_id}")
    assert role_of(stranger, tenant, document) is None


@pytest.mark.parametrize("one_by_one", [True, False])
def test_a_revoked_link_takes_back_what_it_gave(tenant, document, share, stranger, one_by_one):
    link_id, address = share("editor")
    stranger.post(address)
    path = f"/documents/{document}/links"
    tenant.owner.delete(f"{path}/{link_id}" if one_by_one else path)
    assert role_of(stranger, tenant, document) is None
    assert stranger.post(address).code == "link_invalid"


OWN = [None, "viewer", "editor", "owner"]


@pytest.mark.parametrize("own", OWN)
@pytest.mark.parametrize("first", ["viewer", "editor"])
@pytest.mark.parametrize("second", ["viewer", "editor"])
def test_what_is_left_is_the_strongest_of_what_stays(tenant, document, share, own, first, second):
    bob = tenant.member("member")
    if own:
        tenant.owner.put(f"/documents/{document}/grants/{bob.user_id}", {"role": own})
    links = [share(role) for role in (first, second)]
    roles = [bob.post(address).json["role"] for _, address in links]
    strongest = OWN[max(map(OWN.index, (own, first, second)))]
    assert roles[-1] == role_of(bob, tenant, document) == strongest
    tenant.owner.delete(f"/documents/{document}/links/{links[0][0]}")
    assert role_of(bob, tenant, document) == OWN[max(map(OWN.index, (own, second)))]
    tenant.owner.delete(f"/documents/{document}/links/{links[1][0]}")
    assert role_of(bob, tenant, document) == own


def test_a_grant_given_in_person_outlives_the_link(tenant, document, share, stranger):
    link_id, address = share("viewer")
    stranger.post(address)
    tenant.owner.put(f"/documents/{document}/grants/{stranger.user_id}", {"role": "viewer"})
    tenant.owner.delete(f"/documents/{document}/links/{link_id}")
    assert role_of(stranger, tenant, document) == "viewer"


def test_who_has_as_much_through_the_tenant_gets_no_grant(tenant, document, share):
    ann = tenant.member("admin")
    _, address = share("editor")
    assert ann.post(address).json["role"] == "owner"
    grants = tenant.owner.get(f"/documents/{document}/grants").json["items"]
    assert [grant["userId"] for grant in grants] == [tenant.owner.user_id]


def test_a_link_is_revoked_after_its_guest_has_left(tenant, document, share):
    bob = tenant.member("member")
    tenant.owner.put(f"/documents/{document}/grants/{bob.user_id}", {"role": "viewer"})
    link_id, address = share("editor")
    bob.post(address)
    tenant.owner.delete(f"/tenants/{tenant.id}/members/{bob.user_id}")
    assert tenant.owner.delete(f"/documents/{document}/links/{link_id}").status == 204


def test_an_expired_link_opens_no_more_but_leaves_what_it_gave(tenant, document, share, app):
    early, late = make_person(app), make_person(app)
    _, address = share(expiresAt=rfc3339(utcnow() + timedelta(hours=1)))
    early.post(address)
    with time_machine.travel(utcnow() + timedelta(hours=1, seconds=1)):
        assert late.post(address).code == "link_invalid"
    assert late.get("/tenants").json["items"] == []
    assert role_of(early, tenant, document) == "viewer"


def test_the_password_is_asked_for(tenant, document, share, stranger):
    _, address = share(password="Eiche 🌳")
    assert stranger.post(address).code == "link_password_required"
    assert stranger.post(address, {"password": "Eiche"}).code == "link_password_wrong"
    assert stranger.get("/tenants").json["items"] == []
    assert stranger.post(address, {"password": "Eiche 🌳"}).status == 200


def test_passwords_can_be_tried_only_so_often(share, stranger):
    _, address = share(password="oak")
    tried = [stranger.post(address, {"password": f"{n}"}).status for n in range(TRIES)]
    assert tried == [403] * TRIES
    refused = stranger.post(address, {"password": "oak"})
    assert (refused.status, refused.code) == (429, "too_many_requests")
    assert 0 < int(refused.headers["Retry-After"]) <= WINDOW.total_seconds()
    with time_machine.travel(utcnow() + WINDOW + timedelta(seconds=1)):
        assert stranger.post(address, {"password": "oak"}).status == 200


def test_passwords_tried_at_once_are_counted_too(app, share):
    _, address = share(password="oak")
    callers = [make_person(app) for _ in range(TRIES + 5)]
    with ThreadPoolExecutor(len(callers)) as pool:
        answers = pool.map(lambda caller: caller.post(address, {"password": "elm"}), callers)
        statuses = Counter(answer.status for answer in answers)
    assert statuses == {403: TRIES, 429: 5}


def test_one_who_opens_a_link_many_times_at_once_gets_one_grant(app, tenant, document, share):
    _, address = share()
    person = make_person(app)
    callers = [replace(person) for _ in range(6)]
    with ThreadPoolExecutor(len(callers)) as pool:
        answers = pool.map(lambda caller: caller.post(address).status, callers)
        assert {*answers} == {200}
    grants = tenant.owner.get(f"/documents/{document}/grants").json["items"]
    assert [grant["userId"] for grant in grants].count(person.user_id) == 1


def test_the_right_password_starts_the_count_anew(share, stranger):
    _, address = share(password="oak")
    for _ in range(2):
        for _ in range(TRIES - 1):
            stranger.post(address, {"password": "elm"})
        assert stranger.post(address, {"password": "oak"}).status == 200


def test_a_link_gives_no_more_than_its_maker_could_give_now(tenant, document, share, stranger):
    ann = tenant.member("member")
    grant = f"/documents/{document}/grants/{ann.user_id}"
    tenant.owner.put(grant, {"role": "owner"})
    _, address = share("editor", by=ann)
    tenant.owner.put(grant, {"role": "editor"})
    refused = stranger.post(address)
    assert (refused.status, refused.json["permission"]) == (403, "document:share")
    tenant.owner.delete(f"/tenants/{tenant.id}/members/{ann.user_id}")
    assert stranger.post(address).code == "link_invalid"
    assert stranger.get("/tenants").json["items"] == []


def test_a_link_goes_with_its_document(tenant, document, share, stranger):
    _, address = share()
    stranger.post(address)
    tenant.owner.delete(f"/documents/{document}")
    assert stranger.post(address).code == "link_invalid"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "role"),
        ({"role": "owner"}, "role"),
        ({"role": "viewer", "expiresAt": "2020-01-01T00:00:00Z"}, "expiresAt"),
        ({"role": "viewer", "expiresAt": "2030-01-01"}, "expiresAt"),
        ({"role": "viewer", "expiresAt": "9999-12-31T23:59:59-01:00"}, "expiresAt"),
        ({"role": "viewer", "password": ""}, "password"),
        ({"role": "viewer", "password": "x" * 201}, "password"),
    ],
)
def test_bad_links_are_refused_by_field(tenant, document, body, field):
    answer = tenant.owner.post(f"/documents/{document}/links", body)
    assert (answer.status, list(answer.json["errors"])) == (422, [field])


DONE = {"POST": 201, "GET": 200, "DELETE": 204}
ADDRESSES = [("POST", ""), ("GET", ""), ("DELETE", ""), ("DELETE", "/{link}")]


@pytest.mark.parametrize(("method", "tail"), ADDRESSES)
@pytest.mark.parametrize(
    ("role", "status"), [(None, 404), ("viewer", 403), ("editor", 403), ("owner", None)]
)
def test_owners_of_the_document_alone_share_it(tenant, document, share, method, tail, role, status):
    link_id, _ = share()
    bob = tenant.member("member")
    if role:
        tenant.owner.put(f"/documents/{document}/grants/{bob.user_id}", {"role": role})
    body = {"role": "viewer"} if method == "POST" else None
    path = f"/documents/{document}/links{tail.format(link=link_id)}"
    assert bob.call(method, path, body).status == (status or DONE[method])


@pytest.mark.parametrize(("method", "tail"), ADDRESSES)
def test_a_foreign_tenant_finds_no_links(tenant, other_tenant, document, share, method, tail):
    link_id, _ = share()
    path = f"/documents/{document}/links{tail.format(link=link_id)}"
    body = {"role": "viewer"} if method == "POST" else None
    assert other_tenant.owner.call(method, path, body).status == 404
    assert len(tenant.owner.get(f"/documents/{document}/links").json["items"]) == 1


def test_a_link_of_another_document_is_not_found(tenant, workspace, document, share):
    link_id, _ = share()
    body = {"title": "Floor", "kind": "board"}
    other = tenant.owner.post(f"/workspaces/{workspace}/documents", body).json["id"]
    assert tenant.owner.delete(f"/documents/{other}/links/{link_id}").status == 404


def test_a_link_needs_somebody_logged_in_and_a_token_that_is_right(client, share, stranger):
    _, address = share()
    assert client.post(address).status == 401
    assert stranger.post(address + "x").code == "link_invalid"
    assert stranger.post("/links/é").code == "link_invalid"


@pytest.mark.parametrize(("link", "shown"), [("viewer", "Proofreader"), ("editor", "editor")])
def test_a_role_of_the_tenants_own_is_weighed_by_what_it_holds(
    tenant, document, share, link, shown
):
    bob = tenant.member("guest")
    body = {"name": "Proofreader", "permissions": ["document:read"], "resourceType": "document"}
    tenant.owner.post("/roles", body)
    path = f"/documents/{document}"
    tenant.owner.put(f"{path}/grants/{bob.user_id}", {"role": "Proofreader"})
    link_id, address = share(link)
    assert bob.post(address).json["role"] == shown
    assert tenant.owner.delete(f"{path}/links/{link_id}").status == 204
    assert role_of(bob, tenant, document) == "Proofreader"
