"""Roles in the tenant, and what they bring."""

import pytest
from treenail.db import tenant_session
from treenail.errors import Forbidden
from treenail.principal import Principal
from treenail.testing import TestTenant
from treenail.testing.callers import make_person
from treenail_rbac import ceilings


def check(caller, *permissions):
    answer = caller.post("/permissions/check", {"checks": [{"permission": p} for p in permissions]})
    assert answer.status == 200
    return [result["allowed"] for result in answer.json["results"]]


def test_tenant_roles_bring_their_permissions(tenant: TestTenant):
    asked = ("tenant:read", "member:read", "member:update", "tenant:delete", "invitation:manage")
    assert check(tenant.owner, *asked) == [True] * 5
    assert check(tenant.member("admin"), *asked) == [True, True, True, False, True]
    assert check(tenant.member("member"), *asked) == [True, True, False, False, False]
    assert check(tenant.member("guest"), *asked) == [True, False, False, False, False]


def test_a_role_change_acts_on_the_next_request(tenant: TestTenant):
    bob = tenant.member("member")
    assert check(bob, "member:update") == [False]
    tenant.owner.patch(f"/tenants/{tenant.id}/members/{bob.user_id}", {"role": "admin"})
    assert check(bob, "member:update") == [True]


def test_an_unknown_permission_or_foreign_resource_is_only_not_allowed(tenant, other_tenant):
    asked = {"permission": "tenant:read", "resource": {"type": "tenant", "id": other_tenant.id}}
    checks = [{"permission": "cake:eat"}, asked]
    results = tenant.owner.post("/permissions/check", {"checks": checks}).json["results"]
    assert [r["allowed"] for r in results] == [False, False]


def test_a_missing_permission_is_named(tenant: TestTenant):
    answer = tenant.member("member").get(f"/tenants/{tenant.id}/invitations")
    assert (answer.status, answer.code) == (403, "permission_denied")
    assert answer.json["permission"] == "invitation:manage"


def test_only_owners_make_owners(tenant: TestTenant):
    ann, bob = tenant.member("admin"), tenant.member("member")
    path = f"/tenants/{tenant.id}/members/{bob.user_id}"
    assert ann.patch(path, {"role": "owner"}).code == "owner_required"
    assert tenant.owner.patch(path, {"role": "owner"}).json["role"] == "owner"
    assert ann.delete(path).code == "owner_required"


def test_an_unknown_role_is_refused(tenant: TestTenant):
    bob = tenant.member("member")
    answer = tenant.owner.patch(f"/tenants/{tenant.id}/members/{bob.user_id}", {"role": "king"})
    assert (answer.status, list(answer.json["errors"])) == (422, ["role"])


def test_a_removed_member_is_out_at_once(tenant: TestTenant):
    bob = tenant.member("member")
    assert tenant.owner.delete(f"/tenants/{tenant.id}/members/{bob.user_id}").status == 204
    assert bob.get("/roles").status == 404


def test_roles_and_the_callers_permissions_are_listed(tenant: TestTenant):
    roles = tenant.owner.get("/roles").json["items"]
    names = [r["name"] for r in roles if r["resourceType"] == "tenant"]
    assert names == ["owner", "admin", "member", "guest"]
    me = tenant.member("member").get("/me").json["user"]
    assert me["permissions"] == ["member:read", "tenant:read"]
    assert make_person(tenant.app).get("/me").json["user"]["permissions"] is None


def test_a_powerful_role_wants_a_fresh_proof(app, tenant: TestTenant):
    stale = Principal("u", "s", "a@example.com", "Ann", tenant.id)
    with app.app_context(), tenant_session(tenant.id) as session:
        with pytest.raises(Forbidden, match="prove once more"):
            ceilings.require_fresh_for(session, stale, "admin")
        ceilings.require_fresh_for(session, stale, "member")
        with pytest.raises(Forbidden, match="prove once more"):
            ceilings.require_fresh_to_run(stale, ["member:read", "role:manage"])
