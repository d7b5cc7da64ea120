"""Deleting a tenant: whatever any plugin kept for it is gone, and nothing of anybody else's."""

from __future__ import annotations

from sqlalchemy import func, inspect, select
from treenail.db import system_session
from treenail.db.base import tenanted_tables


def fill(tenant) -> None:
    """Something in the tables of every plugin that keeps a tenant's."""
    owner, bob = tenant.owner, tenant.member()
    workspace = owner.post("/workspaces", {"name": "Joinery"}).json["id"]
    body = {"title": "Roof", "kind": "board"}
    document = owner.post(f"/workspaces/{workspace}/documents", body).json["id"]
    owner.put(f"/documents/{document}/grants/{bob.user_id}", {"role": "editor"})
    owner.post(f"/documents/{document}/links", {"role": "viewer"})
    owner.post("/roles", {"name": "mason", "permissions": ["document:read"]})
    invitation = {"email": "carol@example.com", "role": "member"}
    owner.post(f"/tenants/{tenant.id}/invitations", invitation, headers={"Idempotency-Key": "1"})


def rows(app, tenant) -> dict[str, int]:
    """How many rows each table has of the tenant's; those with none are left out."""
    with app.app_context(), system_session("test", read_only=True) as session:
        here = set(inspect(session.get_bind()).get_table_names())  # not those other tests made up
        counts = {
            name: session.scalar(select(func.count()).where(table.c.tenant_id == tenant.id))
            for name, table in tenanted_tables.items()
            if name in here
        }
    return {name: count for name, count in counts.items() if count}


def test_nothing_of_it_is_left_and_others_keep_theirs(app, tenant, other_tenant, run_tasks):
    for one in (tenant, other_tenant):
        fill(one)
    run_tasks()
    kept = rows(app, other_tenant)
    assert {name.partition("_")[0] for name in kept} >= {"core", "rbac", "workspaces"}
    assert tenant.owner.delete(f"/tenants/{tenant.id}").status == 204
    assert rows(app, tenant) == {}
    assert rows(app, other_tenant) == kept
    run_tasks()  # what was on its way to subscribers went with it


def test_its_sockets_are_closed_within_a_second(journey, revoked_within):
    document, bob = journey.document(), journey.member()
    journey.share(document, bob, "editor")
    act = lambda: journey.ann.call("DELETE", f"/tenants/{journey.tenant}")  # noqa: E731
    code, soon = revoked_within(journey.socket(document, bob), act)
    assert (code, soon) == (4403, True)
    assert bob.call("GET", "/me") == 200
    assert bob.call("GET", f"/documents/{document}") in (404, 409)
    assert bob.call("GET", "/tenants", expect=200)["items"] == []
