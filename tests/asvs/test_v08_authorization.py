"""V8: authorization."""

from __future__ import annotations

import pytest
from program import ROOT
from treenail.testing.callers import make_person
from treenail.web import openapi


def test_v8_1_1_the_reference_says_which_role_may_do_what(app):
    page = (ROOT / "docs" / "reference.md").read_text()
    types = app.extensions["treenail"].resource_types.values()
    assert {kind.name for kind in types} >= {"tenant", "workspace", "document"}
    for kind in types:
        for permission in kind.permissions:
            [row] = [line for line in page.splitlines() if line.startswith(f"| `{permission}` |")]
            assert all(role in row for role, held in kind.roles.items() if permission in held)


def test_v8_2_1_every_route_says_whom_it_is_for(app, client, operations):
    declared = {rule.rule for rule, _ in openapi.declared(app)}
    assert {rule.rule for rule in app.url_map.iter_rules()} == declared
    guarded = [operation for operation in operations if not operation.is_public]
    assert len(guarded) > len(operations) / 2
    for operation in guarded:
        assert client.call(operation.method, operation.at({})).status == 401, operation.path


@pytest.mark.parametrize("who", ["another tenant's owner", "somebody without a tenant"])
def test_v8_2_2_ids_of_others_open_nothing(
    app, tenant, other_tenant, furnish, operations, stored, who
):
    theirs = furnish(other_tenant)
    furnish(tenant)
    caller = tenant.owner if who == "another tenant's owner" else make_person(app)
    before = stored()
    for operation in operations:
        if "{" not in operation.path or operation.is_public:
            continue
        body = {"name": "mine"} if "requestBody" in operation.about else None
        answer = caller.call(operation.method, operation.at(theirs), body)
        assert answer.status in (404, 409, 422), (operation.path, answer.status)
        assert other_tenant.id not in answer.response.text
    assert stored() == before


FORBIDDEN = [
    "id",
    "tenantId",
    "tenant_id",
    "ownerId",
    "createdBy",
    "lockedBy",
    "kind",
    "plan",
    "isOwner",
]


@pytest.mark.parametrize("field", FORBIDDEN)
def test_v8_2_3_and_v15_3_3_a_field_that_is_not_asked_for_is_refused(tenant, furnish, field):
    ids = furnish(tenant)
    bodies = {
        ("PATCH", f"/workspaces/{ids['workspace_id']}"): {"name": "x"},
        ("PATCH", f"/documents/{ids['document_id']}"): {"title": "x"},
        ("PATCH", f"/tenants/{tenant.id}/members/{ids['user_id']}"): {"role": "guest"},
        ("POST", "/tenants"): {"name": "x"},
        ("POST", "/auth/register"): {
            "email": "x@example.com",
            "password": "oak beams",
            "name": "x",
        },
    }
    for (method, path), body in bodies.items():
        answer = tenant.owner.call(method, path, {**body, field: tenant.id})
        assert (answer.status, list(answer.json["errors"])) == (422, [field]), path


def test_v8_3_1_what_one_says_of_oneself_gives_nothing(tenant):
    bob = tenant.member("guest")
    for header in ("X-Role", "X-Roles", "X-Permissions", "X-Admin"):
        answer = bob.get(f"/tenants/{tenant.id}/members", headers={header: "owner"})
        assert answer.status == 403
    assert bob.get(f"/tenants/{tenant.id}/members?role=owner").status == 403


def test_v8_3_2_a_role_taken_away_is_gone_on_the_next_request(client, ann, bob, mailed_token):
    owner, member = ann.session(), bob.session()
    tenant = owner.call("POST", "/tenants", {"name": "Ash"}).json["id"]
    owner.call("POST", f"/tenants/{tenant}/invitations", {"email": bob.email, "role": "admin"})
    token = mailed_token(bob.email, "invitations/accept")
    member.call("POST", "/invitations/accept", {"token": token})
    path = f"/tenants/{tenant}/members"
    assert member.call("GET", f"/tenants/{tenant}/invitations").status == 200
    owner.call("PATCH", f"{path}/{member.user['id']}", {"role": "member"})
    assert member.call("GET", f"/tenants/{tenant}/invitations").status == 403
    owner.call("DELETE", f"{path}/{member.user['id']}")
    assert member.call("GET", path).status == 404


def test_v8_4_1_no_list_shows_another_tenants(app, tenant, other_tenant, furnish, operations):
    theirs, ours = furnish(other_tenant), furnish(tenant)
    foreign = set(theirs.values())
    for operation in operations:
        if operation.method == "GET" and not operation.is_public:
            for headers in ({}, {"X-Tenant-Id": other_tenant.id}):
                text = tenant.owner.get(operation.at(ours), headers=headers).response.text
                assert not [id for id in foreign if id in text], operation.path
