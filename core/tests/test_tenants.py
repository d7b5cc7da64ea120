"""Tenants and memberships over REST."""

import pytest
from treenail.errors import PermissionDenied
from treenail.plugin import Plugin, hookimpl
from treenail.testing import Client, TestTenant
from treenail.testing.callers import make_person


class Guild(Plugin):
    """Knows one more role, and one that nobody parts with."""

    name = "guild"
    version = "1.0"

    @hookimpl
    def check_role_change(self, session, principal, old, new):
        if old == "mason":
            raise PermissionDenied("wall:build")
        return True if new == "mason" else None


@pytest.fixture(scope="module")
def plugins():
    return {"guild": Guild}


@pytest.fixture(scope="module")
def environ():
    return {"TREENAIL_PLUGINS": "guild"}


def test_me_without_membership_has_no_tenant(app):
    user = make_person(app).get("/me").json["user"]
    assert user["tenantId"] is None
    assert user["orgId"] is None
    assert user["roles"] is None


def test_me_names_tenant_space_and_role(tenant: TestTenant):
    user = tenant.owner.get("/me").json["user"]
    assert (user["tenantId"], user["space"]) == (tenant.id, "client")
    assert (user["roles"], user["spaces"]) == (["owner"], ["client", "accounting"])


def test_nobody_gets_401_with_challenge(client: Client):
    answer = client.get("/me")
    assert (answer.status, answer.code) == (401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.response.content_type == "application/problem+json"


def test_a_tenant_is_made_with_its_caller_as_owner(app, captured_events):
    ann = make_person(app)
    made = ann.post("/tenants", {"name": "Birch 🌳 ليل"})
    assert made.status == 201
    assert made.json["name"] == "Birch 🌳 ليل"
    assert ann.get("/tenants").json == {"items": [made.json], "nextCursor": None}
    assert [e.tenant_id for e in captured_events("tenant.created")] == [made.json["id"]]


def test_a_foreign_tenant_is_not_found(tenant: TestTenant, other_tenant: TestTenant):
    assert tenant.owner.get(f"/tenants/{other_tenant.id}").status == 404
    assert tenant.owner.get("/me", headers={"X-Tenant-Id": other_tenant.id}).status == 404
    assert tenant.owner.get(f"/tenants/{other_tenant.id}/members").status == 404
    path = f"/tenants/{tenant.id}/members/{other_tenant.owner.user_id}"
    assert tenant.owner.delete(path).status == 404


def test_without_rbac_only_owners_may(tenant: TestTenant):
    bob = tenant.member("admin")
    assert tenant.owner.get(f"/tenants/{tenant.id}/members").status == 200
    answer = bob.get(f"/tenants/{tenant.id}/members")
    assert answer.status == 404


def test_the_last_owner_stays(tenant: TestTenant):
    path = f"/tenants/{tenant.id}/members/{tenant.owner.user_id}"
    assert tenant.owner.delete(path).code == "last_owner"
    assert tenant.owner.patch(path, {"role": "member"}).code == "last_owner"


def test_activation_chooses_tenant_and_space(app):
    ann = make_person(app)
    first, second = (ann.post("/tenants", {"name": n}).json["id"] for n in ("A", "B"))
    assert ann.get("/me").json["user"]["tenantId"] is None
    answer = ann.post(f"/tenants/{second}/activate", {"space": "accounting"})
    assert answer.json["redirectTo"] == f"/tenant/{second}/accounting/dashboard"
    user = ann.get("/me").json["user"]
    assert (user["tenantId"], user["space"]) == (second, "accounting")
    assert ann.get("/me", headers={"X-Tenant-Id": first}).json["user"]["tenantId"] == first
    denied = ann.post(f"/tenants/{second}/activate", {"space": "developer"})
    assert (denied.status, denied.code) == (403, "space_denied")


def test_a_plugin_knows_further_roles_and_refuses_changes(tenant: TestTenant):
    path = f"/tenants/{tenant.id}/members/{tenant.member().user_id}"
    assert tenant.owner.patch(path, {"role": "king"}).status == 422
    assert tenant.owner.patch(path, {"role": "mason"}).json["role"] == "mason"
    assert tenant.owner.patch(path, {"role": "member"}).json["permission"] == "wall:build"
    assert tenant.owner.delete(path).json["permission"] == "wall:build"


def test_an_owner_deletes_a_tenant_for_good(tenant: TestTenant, captured_events):
    bob = tenant.member()
    assert tenant.owner.delete(f"/tenants/{tenant.id}").status == 204
    assert tenant.owner.get(f"/tenants/{tenant.id}").status == 404
    assert bob.get("/me").status == 404  # the tenant it names
    assert bob.get("/me", headers={"X-Tenant-Id": bob.tenant_id}).status == 404
    [event] = captured_events("tenant.deleted")
    assert (event.tenant_id, event.subject, event.actor_id) == (
        None,
        tenant.id,
        tenant.owner.user_id,
    )
    assert event.data == {"tenantId": tenant.id, "name": "Ash & Oak"}


def test_only_an_owner_deletes_a_tenant(tenant: TestTenant, other_tenant: TestTenant):
    assert tenant.member("admin").delete(f"/tenants/{tenant.id}").status in (403, 404)
    assert other_tenant.owner.delete(f"/tenants/{tenant.id}").status == 404
    assert tenant.owner.get(f"/tenants/{tenant.id}").status == 200


def test_a_deletion_sent_again_with_its_key_finds_nothing(tenant: TestTenant, count_queries):
    key = {"Idempotency-Key": "one"}
    with count_queries() as statements:
        assert tenant.owner.delete(f"/tenants/{tenant.id}", headers=key).status == 204
    # In which order a row of the tenant would be added and the tenant deleted, nobody says.
    assert "INSERT INTO core_idempotency_keys" not in "".join(statements)
    assert tenant.owner.delete(f"/tenants/{tenant.id}", headers=key).status == 404
