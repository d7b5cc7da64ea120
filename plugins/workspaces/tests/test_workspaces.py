"""Workspaces, members, documents."""

import pytest
from treenail.db import tenant_session
from treenail.tenants import services
from treenail.testing import TestTenant


def test_a_workspace_is_made_changed_and_removed(tenant: TestTenant, captured_events):
    ann = tenant.member("member")
    made = ann.post("/workspaces", {"name": "Ateliers 🪵 نجارة", "description": "‏خشب"})
    assert (made.status, made.json["role"]) == (201, "owner")
    path = f"/workspaces/{made.json['id']}"
    assert ann.get(path).json == made.json
    assert ann.patch(path, {"name": "Shop"}).json["description"] == "‏خشب"
    assert ann.delete(path).status == 204
    assert ann.get(path).status == 404
    assert len(captured_events("workspace.deleted")) == 1


def test_a_document_is_made_renamed_and_removed(tenant: TestTenant, workspace):
    path = f"/workspaces/{workspace}/documents"
    made = tenant.owner.post(path, {"title": "Truss", "kind": "diagram"})
    assert (made.status, made.json["mode"], made.json["role"]) == (201, "crdt", "owner")
    one = f"/documents/{made.json['id']}"
    assert tenant.owner.patch(one, {"title": "Beam"}).json["title"] == "Beam"
    assert [d["id"] for d in tenant.owner.get(path).json["items"]] == [made.json["id"]]
    assert tenant.owner.delete(one).status == 204
    assert tenant.owner.get(path).json["items"] == []


def test_one_sees_what_one_was_given(tenant: TestTenant, workspace, document):
    bob = tenant.member("member")
    assert bob.get("/workspaces").json["items"] == []
    assert bob.get(f"/workspaces/{workspace}").status == 404
    assert bob.get(f"/documents/{document}").status == 404
    tenant.owner.put(f"/workspaces/{workspace}/members/{bob.user_id}", {"role": "viewer"})
    assert [w["role"] for w in bob.get("/workspaces").json["items"]] == ["viewer"]
    assert bob.get(f"/documents/{document}").json["role"] == "viewer"
    answer = bob.patch(f"/documents/{document}", {"title": "Mine"})
    assert (answer.status, answer.json["permission"]) == (403, "document:update")


def test_the_strongest_role_counts(tenant: TestTenant, workspace, document):
    bob = tenant.member("member")
    tenant.owner.put(f"/workspaces/{workspace}/members/{bob.user_id}", {"role": "viewer"})
    tenant.owner.put(f"/documents/{document}/grants/{bob.user_id}", {"role": "editor"})
    assert bob.get(f"/documents/{document}").json["role"] == "editor"
    assert tenant.member("admin").get(f"/documents/{document}").json["role"] == "owner"


def test_a_grant_on_a_document_shows_only_that(tenant: TestTenant, workspace, document):
    eve = tenant.member("guest")
    tenant.owner.put(f"/documents/{document}/grants/{eve.user_id}", {"role": "editor"})
    assert eve.get(f"/documents/{document}").status == 200
    assert eve.get(f"/workspaces/{workspace}").status == 404
    assert [d["id"] for d in eve.get("/documents").json["items"]] == [document]
    tenant.owner.delete(f"/documents/{document}/grants/{eve.user_id}")
    assert eve.get(f"/documents/{document}").status == 404


def test_nobody_grants_more_than_they_hold(tenant: TestTenant, workspace):
    bob, eve = tenant.member("member"), tenant.member("member")
    path = f"/workspaces/{workspace}/members"
    tenant.owner.put(f"{path}/{bob.user_id}", {"role": "admin"})
    assert bob.put(f"{path}/{eve.user_id}", {"role": "owner"}).status == 403
    assert bob.put(f"{path}/{eve.user_id}", {"role": "editor"}).status == 200
    assert eve.put(f"{path}/{bob.user_id}", {"role": "viewer"}).status == 403
    assert bob.delete(f"{path}/{tenant.owner.user_id}").status == 403


def test_members_of_a_workspace_are_listed_with_names(tenant: TestTenant, workspace):
    items = tenant.owner.get(f"/workspaces/{workspace}/members").json["items"]
    assert [(m["userId"], m["role"]) for m in items] == [(tenant.owner.user_id, "owner")]
    assert items[0]["email"] == tenant.owner.email


def test_only_members_of_the_tenant_can_be_given_roles(tenant, other_tenant, workspace):
    path = f"/workspaces/{workspace}/members/{other_tenant.owner.user_id}"
    assert tenant.owner.put(path, {"role": "editor"}).status == 422


@pytest.mark.parametrize("method", ["get", "patch", "delete"])
def test_a_foreign_tenant_finds_nothing(tenant, other_tenant, workspace, document, method):
    for path in (f"/workspaces/{workspace}", f"/documents/{document}"):
        call = getattr(other_tenant.owner, method)
        body = ({"name": "x"},) if method == "patch" and "work" in path else ()
        body = body or (({"title": "x"},) if method == "patch" else ())
        assert call(path, *body).status == 404
    assert tenant.owner.get(f"/documents/{document}").json["title"] == "Roof"
    listed = other_tenant.owner.get(f"/workspaces/{workspace}/documents")
    assert listed.status == 404
    assert other_tenant.owner.get("/documents").json["items"] == []


def test_guests_make_no_workspaces(tenant: TestTenant):
    answer = tenant.member("guest").post("/workspaces", {"name": "x"})
    assert (answer.status, answer.json["permission"]) == (403, "workspace:create")


def test_lists_are_paged_completely_and_once(tenant: TestTenant, workspace):
    path = f"/workspaces/{workspace}/documents"
    made = [
        tenant.owner.post(path, {"title": f"{n}", "kind": "board"}).json["id"] for n in range(7)
    ]
    seen, cursor = [], ""
    while cursor is not None:
        page = tenant.owner.get(f"{path}?limit=3{cursor and f'&cursor={cursor}'}").json
        seen += [d["id"] for d in page["items"]]
        cursor = page["nextCursor"]
    assert seen == made[::-1]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "title"),
        ({"title": "", "kind": "board"}, "title"),
        ({"title": "x" * 301, "kind": "board"}, "title"),
        ({"title": "a\0b", "kind": "board"}, "title"),
        ({"title": 7, "kind": "board"}, "title"),
        ({"title": "x", "kind": "sculpture"}, "kind"),
        ({"title": "x", "kind": "board", "tenantId": "me"}, "tenantId"),
    ],
)
def test_bad_documents_are_refused_by_field(tenant: TestTenant, workspace, body, field):
    answer = tenant.owner.post(f"/workspaces/{workspace}/documents", body)
    assert (answer.status, answer.code) == (422, "invalid")
    assert field in answer.json["errors"]
    assert tenant.owner.get(f"/workspaces/{workspace}/documents").json["items"] == []


def test_content_is_empty_without_an_editor_plugin(tenant: TestTenant, document):
    content = tenant.owner.get(f"/documents/{document}/content").json
    assert (content["objects"], content["xml"], content["version"]) == ({}, "", 0)


def test_lists_cost_the_same_however_long(app, tenant: TestTenant, workspace, count_queries):
    path = f"/workspaces/{workspace}/documents"
    costs = []
    for _ in range(3):
        for n in range(4):
            tenant.owner.post(path, {"title": f"{n}", "kind": "board"})
        with count_queries() as queries:
            assert tenant.owner.get(path).status == 200
        costs.append(len(queries))
    assert len(set(costs)) == 1


def test_whoever_comes_back_begins_anew(tenant: TestTenant, workspace, document, run_tasks):
    bob = tenant.member("member")
    tenant.owner.put(f"/workspaces/{workspace}/members/{bob.user_id}", {"role": "editor"})
    tenant.owner.delete(f"/tenants/{tenant.id}/members/{bob.user_id}")
    run_tasks()
    with tenant.app.app_context(), tenant_session(tenant.id) as session:
        services.join(session, bob.user_id, "member")
    assert bob.get(f"/documents/{document}").status == 404
