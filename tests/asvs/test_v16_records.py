"""V16: the record of who did what, which nobody changes unseen (the plugin audit)."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from treenail.db import rls
from treenail.db.sessions import db


@pytest.fixture
def workspace(tenant) -> str:
    return tenant.owner.post("/workspaces", {"name": "Joinery"}).json["id"]


def test_v16_3_2_denials_are_on_the_tenants_record(tenant, workspace):
    bob = tenant.member("guest")
    assert bob.delete(f"/workspaces/{workspace}").status == 404
    (record,) = tenant.owner.get(f"/audit?actorId={bob.user_id}&outcome=denied").json["items"]
    assert (record["action"], record["resource"]) == (
        *("workspace:delete", f"workspace/{workspace}"),
    )


def test_v16_3_3_broken_rules_are_on_the_tenants_record(tenant):
    path = f"/tenants/{tenant.id}/members/{tenant.owner.user_id}"
    assert tenant.owner.delete(path).code == "last_owner"
    (record,) = tenant.owner.get("/audit?outcome=failed").json["items"]
    assert (record["action"], record["code"]) == ("member:remove", "last_owner")


def test_v16_4_2_the_record_cannot_be_changed_and_is_verified(app, tenant, workspace):
    assert tenant.owner.get("/audit").json["items"]

    def change(statement: str) -> None:
        with app.app_context(), rls.transaction(db.engine, tenant.id) as connection:
            connection.execute(text(statement))

    for statement in ("UPDATE audit_records SET outcome = 'x'", "DELETE FROM audit_records"):
        with pytest.raises(DBAPIError, match="audit records are never"):
            change(statement)
    said = tenant.owner.get("/audit/verify").json
    assert (said["valid"], said["firstBad"]) == (True, None)
    assert said["checked"] >= 2
