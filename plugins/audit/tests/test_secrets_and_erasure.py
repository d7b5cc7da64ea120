"""What is never in the log, and what can be made unreadable in it."""

from __future__ import annotations

import json

from sqlalchemy import select
from treenail.db import system_session
from treenail.testing.callers import make_tenant
from treenail_audit import commands, sealer
from treenail_audit.models import Record, Waiting
from treenail_audit.testing import anchors, verdict, wait, write

CANARY = "canary-5f3c"


def everything(app, tenant_id: str) -> str:
    """All that any table of the plugin and the anchors have of a tenant, as text."""
    found = []
    with app.app_context(), system_session("test", read_only=True) as session:
        for model in (Waiting, Record):
            rows = session.execute(select(model.__table__).where(model.tenant_id == tenant_id))
            found += [repr(row) for row in rows]
    file = anchors(app, tenant_id).path
    return "".join(found) + (file.read_text() if file.exists() else "")


def call_with_canaries(tenant) -> None:
    """Every way a secret comes in, well and badly."""
    bob = tenant.member("member")
    path = f"/tenants/{tenant.id}/members/{bob.user_id}"
    headers = {"User-Agent": f"x Bearer {CANARY} token={CANARY}", "X-Api-Key": CANARY}
    tenant.owner.patch(path, {"spaces": ["client"]}, headers=headers)
    tenant.owner.patch(f"{path}?token={CANARY}", {"spaces": ["client"]}, headers=headers)
    tenant.owner.patch(path, {"password": CANARY, CANARY: 1}, headers=headers)
    bob.patch(path, {"spaces": [CANARY]}, headers=headers)
    tenant.owner.post("/tenants", {"name": CANARY})
    tenant.owner.get(f"/audit?q={CANARY}")


def test_no_secret_is_on_record_before_or_after_sealing(app, tenant):
    call_with_canaries(tenant)
    assert CANARY not in everything(app, tenant.id)
    with app.app_context():
        assert sealer.seal(tenant.id) >= 1
    assert CANARY not in everything(app, tenant.id)
    assert CANARY not in json.dumps(tenant.owner.get("/audit").json)


def test_addresses_are_not_in_the_records_in_the_clear(app, tenant):
    write(app, tenant.id, batches=1)
    assert "192.0.2.7" not in everything(app, tenant.id)
    assert {item["ip"] for item in tenant.owner.get("/audit?actorId=actor-1").json["items"]} == {
        "192.0.2.7"
    }


def test_an_erased_person_is_unreadable_and_the_chain_valid(app, tenant, other_tenant):
    for each in (tenant, other_tenant):
        write(app, each.id, batches=1)
    wait(app, tenant.id, 3)
    told = ["erase", "actor-1", "--tenant", tenant.id]
    said = app.test_cli_runner().invoke(commands.group, told)
    assert (said.exit_code, said.output) == (0, "erased in 1 tenants\n")
    items = tenant.owner.get("/audit?limit=200").json["items"]
    for item in items:
        if item["actorId"].startswith("actor-"):
            readable = (item["ip"], item["userAgent"]) == ("192.0.2.7", "planer/2 🪵")
            assert readable == (item["actorId"] != "actor-1"), item
    assert verdict(app, tenant.id).valid
    theirs = other_tenant.owner.get("/audit?actorId=actor-1").json["items"]
    assert {item["ip"] for item in theirs} == {"192.0.2.7"}


def test_the_command_says_what_is_valid_and_what_not(app):
    tenant = make_tenant(app)
    write(app, tenant.id)
    runner = app.test_cli_runner()
    told = ["verify", "--tenant", tenant.id]
    said = runner.invoke(commands.group, told)
    assert (said.exit_code, said.output) == (0, f"{tenant.id}: 12 records, valid\n")
    row = {"tenantId": tenant.id, "valid": True, "checked": 12, "firstBad": None}
    document = {"valid": True, "checked": 12, "tenants": [row]}
    assert json.loads(runner.invoke(commands.group, [*told, "--json"]).output) == document
    lines = anchors(app, tenant.id).path.read_bytes().replace(b'"seq":8', b'"seq":7')
    anchors(app, tenant.id).path.write_bytes(lines)
    said = runner.invoke(commands.group, told)
    assert said.exit_code == 1
    assert "BROKEN at record 5" in said.output
    assert runner.invoke(commands.group, ["verify", "--tenant", "x"]).exit_code == 1
