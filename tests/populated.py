"""A tenant with data of every kind, and a mark in every text that tenants can write.

A mark is followed by what it marks (``…document``), so that whoever finds one in an answer
knows what leaked. A new plugin adds to `populate`; `missing` says what it has forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyotp
from flask import Flask
from sqlalchemy import JSON, String, Table, inspect, or_, select
from sqlalchemy.sql.elements import ColumnElement
from treenail.db import Model, db, system_session, tenant_session, uuid_type
from treenail.db.base import tenanted_tables
from treenail.deliveries import drain
from treenail.ids import uuid7
from treenail.tenants import services
from treenail.testing import Caller, Client
from treenail.testing.callers import make_person
from treenail_audit import sealer
from treenail_collab.models import Snapshot

PNG = "data:image/png;base64,iVBORw0KGgoAAAAA"
PASSWORD = "treenail holds 🪵 timber"

OF_NO_TENANT = {
    "auth_throttles": "counts by address",
    "core_deliveries": "the engine's, found through the event",
    "core_mails": "the engine's, sealed",
    "core_periodic_runs": "the platform's",
}
CLOSED = {  # columns of tenants' tables whose values come from a closed set, or are digests
    *("kind", "mode", "type", "resource_type", "permission", "spaces", "user_ids", "own_role"),
    *("scope", "request"),
    # Of records what is told is in `canonical`, and that holds names and ids alone.
    *("action", "outcome", "occurred_at", "canonical", "personal", "hash", "prev_hash"),
    *("signed_at", "signature", "audit_records.id", "actor_id", "resource_id", "subject_id"),
    *("rbac_grants.role", "rbac_invitations.role", "workspaces_links.role"),
    *("webhooks_endpoints.schedule", "webhooks_endpoints.disabled_reason"),
    "webhooks_attempts.error",
}


@dataclass
class Populated:
    """A tenant, its people by role, and ids by the collection they stand behind in a path."""

    app: Flask
    mark: str
    id: str
    people: dict[str, Caller] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)

    @property
    def owner(self) -> Caller:
        """Who made it."""
        return self.people["owner"]

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """Everything of the tenant and its people, table by table."""
        people = {person.user_id for person in self.people.values()}
        owned = {self.id, *people}
        found = {}
        with self.app.app_context(), system_session("test", read_only=True) as session:
            here = set(inspect(session.get_bind()).get_table_names())  # not those tests made up
            for table in Model.metadata.sorted_tables:
                mine = _owned(table, self.id, people, owned) if table.name in here else None
                if mine is not None:
                    rows = session.execute(select(table).where(mine)).mappings()
                    found[table.name] = sorted((dict(row) for row in rows), key=repr)
        return found


def populate(app: Flask, mark: str) -> Populated:
    """Make a tenant and fill it, through the API where that can do it."""
    owner = _registered(app, mark)
    made = owner.post("/tenants", {"name": f"{mark}tenant"}, headers={"Idempotency-Key": "a"}).json
    tenant = Populated(app, mark, made["id"], {"owner": owner}, {"docs": "start.js"})
    tenant.ids["tenants"] = tenant.id
    owner.headers["X-Tenant-Id"] = owner.tenant_id = tenant.id
    tenant.ids["sessions"] = _session(tenant)
    role = {"name": f"{mark}role", "permissions": ["invitation:manage"]}
    _made(owner, "/roles", role)
    tenant.ids["roles"] = _made(owner, "/roles", role | {"name": f"{mark}role-spare"})
    for role in ("admin", "member", "guest", f"{mark}role"):
        tenant.people[role] = _joined(tenant, role)
    tenant.ids["members"] = tenant.ids["grants"] = tenant.people["member"].user_id
    fill_workspace(tenant)
    share(tenant)
    listen(tenant)
    with app.app_context():
        drain()
        sealer.seal(tenant.id)
    tenant.ids["deliveries"] = owner.get("/webhooks/deliveries").json["items"][0]["id"]
    assert owner.patch(f"/workspaces/{tenant.ids['workspaces']}", {}).status == 200  # not sealed
    return tenant


def missing(tenant: Populated) -> Iterator[str]:
    """Tables without a row of the tenant, and columns of text without a mark."""
    everything = tenant.rows()
    with tenant.app.app_context():
        here = set(inspect(db.engine).get_table_names())
    for name, table in tenanted_tables.items():
        rows = everything.get(name, [])
        if name not in here:
            continue
        if not rows:
            yield f"{name} has no row"
        for column in table.columns if rows else ():
            text = isinstance(column.type, (String, JSON)) and not _is_id(column)
            closed = {column.name, f"{name}.{column.name}"} & CLOSED
            if text and not closed and tenant.mark not in repr([row[column.name] for row in rows]):
                yield f"{name}.{column.name} has no mark"
    for name in (Model.metadata.tables.keys() & here) - everything.keys() - OF_NO_TENANT.keys():
        yield f"nobody knows whose the rows of {name} are"


def _registered(app: Flask, mark: str) -> Caller:
    email, client = f"{mark}owner-{uuid7()}@example.com", Client(app)
    credentials = {"email": email, "password": PASSWORD}
    assert client.post("/auth/register", {**credentials, "name": f"{mark}owner"}).status == 201
    said = client.post("/auth/login", credentials).json
    session = Client(app, {"Authorization": f"Bearer {said['accessToken']}"})
    code = pyotp.TOTP(session.post("/me/totp").json["secret"]).now()
    assert session.post("/me/totp/confirm", {"code": code}).status == 200
    return Caller(app, user_id=said["user"]["id"], email=email)


def _session(tenant: Populated) -> str:
    return str(tenant.owner.get("/me/sessions").json["items"][0]["id"])


def _joined(tenant: Populated, role: str) -> Caller:
    name = f"{tenant.mark}{role.removeprefix(tenant.mark)}"
    person = make_person(tenant.app, f"{name}-{uuid7()}@example.com", name)
    with tenant.app.app_context(), tenant_session(tenant.id) as session:
        services.join(session, person.user_id, role)
    person.headers["X-Tenant-Id"] = person.tenant_id = tenant.id
    return person


def fill_workspace(tenant: Populated) -> None:
    """A workspace with templates and documents; their ids replace those of one before."""
    owner, mark, ids = tenant.owner, tenant.mark, tenant.ids
    body: dict[str, Any] = {"name": f"{mark}workspace", "description": f"{mark}description"}
    ids["workspaces"] = _made(owner, "/workspaces", body, {"Idempotency-Key": "b"})
    content = {"objects": {f"{mark}object": {"label": f"{mark}content"}}}
    body = {"name": f"{mark}template", "kind": "board", "content": content, "thumbnail": PNG}
    ids["templates"] = _made(owner, f"/workspaces/{ids['workspaces']}/templates", body)
    body = {"title": f"{mark}document", "kind": "board", "templateId": ids["templates"]}
    ids["documents"] = _made(owner, f"/workspaces/{ids['workspaces']}/documents", body)
    with tenant.app.app_context(), tenant_session(tenant.id) as session:
        kept = _made(owner, f"/workspaces/{ids['workspaces']}/documents", body)
        session.add(Snapshot(document_id=kept, seq=0, data_sealed=b"", tenant_id=tenant.id))


def share(tenant: Populated) -> None:
    """Give others roles on it, by name, by link and by invitation."""
    owner, mark, ids = tenant.owner, tenant.mark, tenant.ids
    member = tenant.people["member"].user_id
    for path in (
        f"/workspaces/{ids['workspaces']}/members",
        f"/documents/{ids['documents']}/grants",
    ):
        assert owner.put(f"{path}/{member}", {"role": "viewer"}).status == 200
    path = f"/documents/{ids['documents']}/links"
    link = owner.post(path, {"role": "viewer"}).json
    opened = tenant.people[f"{mark}role"].post(f"/links/{link['url'].rpartition('/')[2]}", {})
    assert opened.status == 200, opened.json
    ids["links"] = link["id"]
    body = {"email": f"{mark}invitation-{uuid7()}@example.com", "role": "member"}
    ids["invitations"] = _made(owner, f"/tenants/{tenant.id}/invitations", body)


def listen(tenant: Populated) -> None:
    """An endpoint that no event reaches, and a test of it."""
    owner, mark = tenant.owner, tenant.mark
    body = {
        "url": f"https://hooks.invalid/{mark}url",
        "description": f"{mark}endpoint",
        "events": [f"{mark}event.*"],
        "headers": {"X-Mark": f"{mark}header"},
    }
    tenant.ids["endpoints"] = _made(owner, "/webhooks/endpoints", body)
    tested = owner.post(f"/webhooks/endpoints/{tenant.ids['endpoints']}/test")
    assert tested.status == 202, tested.json
    tenant.ids["events"] = tested.json["eventId"]


def _made(
    caller: Caller, path: str, body: dict[str, Any], headers: dict[str, str] | None = None
) -> str:
    answer = caller.post(path, body, headers=headers or {})
    assert answer.status == 201, (path, answer.json)
    return str(answer.json["id"])


def _owned(
    table: Table, tenant_id: str, people: set[str], owned: set[str]
) -> ColumnElement[bool] | None:
    """Which rows are the tenant's or its people's; None where no column could tell."""
    by = {"tenant_id": {tenant_id}, "user_id": people, "subject_id": owned}
    if table.name in ("core_tenants", "core_users"):
        by["id"] = owned
    tests = [table.c[name].in_(values) for name, values in by.items() if name in table.c]
    return or_(*tests) if tests else None


def _is_id(column: Any) -> bool:
    return type(column.type) is type(uuid_type())
