"""A tenant's own roles: made within a ceiling, had like any other, changed for all at once."""

import pytest
from treenail import epochs
from treenail.db import system_session
from treenail.testing import TestTenant
from treenail.testing.callers import make_person


@pytest.fixture(scope="module")
def environ() -> dict[str, str]:
    """And workspaces: something to have roles on."""
    return {"TREENAIL_PLUGINS": "rbac,workspaces"}


@pytest.fixture
def place(tenant: TestTenant):
    """A document of the owner's: its workspace's id and its own."""
    workspace = tenant.owner.post("/workspaces", {"name": "Joinery"}).json["id"]
    body = {"title": "Roof", "kind": "board"}
    made = tenant.owner.post(f"/workspaces/{workspace}/documents", body)
    return workspace, made.json["id"]


def make(by, name, permissions, resource_type="tenant"):
    body = {"name": name, "permissions": permissions, "resourceType": resource_type}
    return by.post("/roles", body)


def assign(tenant, person, role):
    return tenant.owner.patch(f"/tenants/{tenant.id}/members/{person.user_id}", {"role": role})


def reason(caller, permission, kind, id_):
    question = {"permission": permission, "resource": {"type": kind, "id": id_}}
    return caller.post("/permissions/check", {"checks": [question]}).json["results"][0]


def test_a_tenant_role_reaches_every_document(tenant, place):
    made = make(tenant.owner, "Auditor", ["tenant:read", "document:read"])
    assert (made.status, made.json["builtIn"]) == (201, False)
    bob = tenant.member("guest")
    assert bob.get(f"/documents/{place[1]}").status == 404
    assert assign(tenant, bob, "Auditor").json["role"] == "Auditor"
    assert bob.get(f"/documents/{place[1]}").json["role"] == "Auditor"
    assert [d["id"] for d in bob.get("/documents").json["items"]] == [place[1]]
    assert bob.patch(f"/documents/{place[1]}", {"title": "x"}).status == 403
    assert bob.get("/me").json["user"]["permissions"] == ["document:read", "tenant:read"]


def test_a_workspace_role_reaches_what_lies_in_it(tenant, place):
    held = ["workspace:read", "document:read", "document:update"]
    make(tenant.owner, "Reviser", held, "workspace")
    bob, path = tenant.member("guest"), f"/workspaces/{place[0]}/members"
    put = tenant.owner.put(f"{path}/{bob.user_id}", {"role": "Reviser"})
    assert put.json["role"] == "Reviser"
    assert bob.get(f"/workspaces/{place[0]}").json["role"] == "Reviser"
    assert bob.patch(f"/documents/{place[1]}", {"title": "x"}).json["role"] == "Reviser"
    assert bob.delete(f"/documents/{place[1]}").status == 403


def test_a_document_role_is_granted_on_documents_only(tenant, place):
    make(tenant.owner, "Reviser", ["document:read", "document:update"], "document")
    bob, role = tenant.member("guest"), {"role": "Reviser"}
    path = f"/workspaces/{place[0]}/members/{bob.user_id}"
    assert tenant.owner.put(path, role).status == 422
    assert assign(tenant, bob, "Reviser").status == 422
    assert tenant.owner.put(f"/documents/{place[1]}/grants/{bob.user_id}", role).status == 200
    assert bob.patch(f"/documents/{place[1]}", {"title": "x"}).status == 200


def test_a_change_acts_at_once_and_moves_the_epoch(app, tenant, place):
    role = make(tenant.owner, "Auditor", ["tenant:read", "document:read"]).json["id"]
    bob = tenant.member("Auditor")

    def epoch():
        with app.app_context(), system_session("test") as session:
            return epochs.read(session, [tenant.id])[tenant.id]

    before = epoch()
    changed = tenant.owner.patch(f"/roles/{role}", {"permissions": ["tenant:read"]})
    assert changed.json["permissions"] == ["tenant:read"]
    assert epoch() > before
    assert bob.get(f"/documents/{place[1]}").status == 404


def test_a_renamed_role_stays_with_its_people(tenant, place):
    role = make(tenant.owner, "Auditor", ["document:read"], "workspace").json["id"]
    bob = tenant.member("guest")
    path = f"/workspaces/{place[0]}/members"
    tenant.owner.put(f"{path}/{bob.user_id}", {"role": "Auditor"})
    assert tenant.owner.patch(f"/roles/{role}", {"name": "Reader"}).json["name"] == "Reader"
    assert bob.get(f"/documents/{place[1]}").json["role"] == "Reader"


def test_a_role_in_use_stays(tenant: TestTenant, captured_events):
    role = make(tenant.owner, "Auditor", ["tenant:read"]).json["id"]
    bob = tenant.member("Auditor")
    assert tenant.owner.delete(f"/roles/{role}").code == "role_in_use"
    assign(tenant, bob, "guest")
    assert tenant.owner.delete(f"/roles/{role}").status == 204
    assert tenant.owner.delete(f"/roles/{role}").status == 404
    assert captured_events("role.deleted")[-1].data["name"] == "Auditor"


@pytest.mark.parametrize(
    ("name", "permissions", "resource_type", "field"),
    [
        ("Admin", ["tenant:read"], "tenant", "name"),
        ("Chef", ["cake:eat"], "tenant", "permissions"),
        ("Chef", ["workspace:read"], "document", "permissions"),
        ("Chef", ["invitation:manage"], "workspace", "permissions"),
        ("Chef", ["role:manage"], "role", "resourceType"),
        ("Chef", ["role:manage"], "kitchen", "resourceType"),
    ],
)
def test_a_role_that_makes_no_sense_is_refused(
    tenant: TestTenant, name, permissions, resource_type, field
):
    answer = make(tenant.owner, name, permissions, resource_type)
    assert (answer.status, list(answer.json["errors"])) == (422, [field])


def test_a_name_is_used_once_for_a_type(tenant: TestTenant, other_tenant):
    assert make(tenant.owner, "Chef", ["tenant:read"]).status == 201
    assert make(tenant.owner, "Chef", ["tenant:read"]).code == "role_exists"
    other = make(tenant.owner, "Cook", ["tenant:read"]).json["id"]
    assert tenant.owner.patch(f"/roles/{other}", {"name": "Chef"}).code == "role_exists"
    assert make(tenant.owner, "Chef", ["document:read"], "document").status == 201
    assert make(other_tenant.owner, "Chef", ["tenant:read"]).status == 201


def test_roles_are_listed_to_members_and_other_tenants_see_none(tenant, other_tenant):
    role = make(tenant.owner, "Chef", ["tenant:read"]).json
    assert tenant.member().get("/roles").json["items"][-1] == role
    assert role not in other_tenant.owner.get("/roles").json["items"]
    assert other_tenant.owner.patch(f"/roles/{role['id']}", {"name": "x"}).status == 404
    assert other_tenant.owner.delete(f"/roles/{role['id']}").status == 404
    assert make(tenant.member(), "Cook", []).json["permission"] == "role:manage"


def test_nobody_makes_a_role_with_more_than_they_hold(tenant: TestTenant):
    ann = tenant.member("admin")
    assert make(ann, "King", ["tenant:delete"]).json["permission"] == "tenant:delete"
    held = ["tenant:read", "role:manage", "document:read"]
    make(tenant.owner, "Clerk", held)
    bob = tenant.member("Clerk")
    assert make(bob, "Reader", ["document:read"], "document").status == 201
    answer = make(bob, "Writer", ["document:read", "document:update"], "document")
    assert (answer.status, answer.json["permission"]) == (403, "document:update")


def test_nobody_touches_a_role_that_is_above_them(tenant: TestTenant):
    role = make(tenant.owner, "King", ["tenant:read", "tenant:delete"]).json["id"]
    ann, king = tenant.member("admin"), tenant.member("King")
    for answer in (
        ann.patch(f"/roles/{role}", {"permissions": ["tenant:read"]}),
        ann.delete(f"/roles/{role}"),
        ann.patch(f"/tenants/{tenant.id}/members/{ann.user_id}", {"role": "King"}),
        ann.patch(f"/tenants/{tenant.id}/members/{king.user_id}", {"role": "guest"}),
        ann.delete(f"/tenants/{tenant.id}/members/{king.user_id}"),
    ):
        assert (answer.status, answer.json["permission"]) == (403, "tenant:delete")


def test_whoever_changes_members_makes_nobody_stronger_than_themselves(tenant: TestTenant):
    make(tenant.owner, "Clerk", ["tenant:read", "member:read", "member:update"])
    bob = tenant.member("Clerk")
    path = f"/tenants/{tenant.id}/members/{bob.user_id}"
    assert bob.patch(path, {"role": "admin"}).code == "permission_denied"
    assert bob.patch(path, {"role": "guest"}).status == 200


def test_a_grant_gives_no_more_below_than_its_giver_holds_there(tenant, place):
    held = ["workspace:read", "workspace:manage", "document:read"]
    make(tenant.owner, "Steward", held, "workspace")
    make(tenant.owner, "Writer", ["document:update"], "workspace")
    bob, path = tenant.member("guest"), f"/workspaces/{place[0]}/members"
    tenant.owner.put(f"{path}/{bob.user_id}", {"role": "Steward"})
    eve = tenant.member("guest").user_id
    assert bob.put(f"{path}/{eve}", {"role": "Steward"}).status == 200
    for role in ("editor", "Writer"):
        assert bob.put(f"{path}/{eve}", {"role": role}).status == 403


def test_one_is_invited_to_a_role_of_the_tenants_own(tenant, mailbox):
    role = make(tenant.owner, "Auditor", ["tenant:read"]).json["id"]
    bob, body = make_person(tenant.app), {"role": "Auditor"}
    tenant.owner.post(f"/tenants/{tenant.id}/invitations", body | {"email": bob.email})
    tenant.owner.patch(f"/roles/{role}", {"name": "Reader"})
    token = mailbox(bob.email)[-1].split("token=")[1].split()[0]
    assert bob.post("/invitations/accept", {"token": token}).json["role"] == "Reader"


def test_reasons_name_the_role_and_where_it_was_given(tenant, place):
    workspace, document = place
    make(tenant.owner, "Auditor", ["tenant:read", "document:read"])
    make(tenant.owner, "Reviser", ["document:read"], "workspace")
    bob, eve = tenant.member("Auditor"), tenant.member("member")
    tenant.owner.put(f"/workspaces/{workspace}/members/{eve.user_id}", {"role": "Reviser"})
    tenant.owner.put(f"/documents/{document}/grants/{bob.user_id}", {"role": "editor"})

    def why(caller, permission):
        return reason(caller, permission, "document", document)["reason"]

    assert why(tenant.owner, "document:read") == "owner of the tenant"
    assert why(eve, "document:read") == f"Reviser of the workspace {workspace}"
    assert why(eve, "document:update") == "nothing grants it"
    assert why(bob, "document:read") == "Auditor of the tenant"
    assert why(bob, "document:update") == f"editor of the document {document}"


def test_lists_and_checks_cost_the_same_with_roles_of_ones_own(tenant, place, count_queries):
    costs = []
    for number in range(3):
        make(tenant.owner, f"Reader {number}", ["document:read"], "workspace")
        workspace = tenant.owner.post("/workspaces", {"name": "Joinery"}).json["id"]
        for _ in range(number + 1):
            body = {"title": "Roof", "kind": "board"}
            tenant.owner.post(f"/workspaces/{workspace}/documents", body)
        bob = tenant.member()
        path = f"/workspaces/{workspace}/members/{bob.user_id}"
        tenant.owner.put(path, {"role": f"Reader {number}"})
        for listed in ("/documents", "/roles"):
            with count_queries() as queries:
                assert bob.get(listed).status == 200
            costs.append((listed, len(queries)))
    assert len(set(costs)) == 2
