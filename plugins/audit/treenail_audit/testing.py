"""Chains for tests, and whoever tampers with them: somebody who owns the database."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from flask import Flask
from sqlalchemy import Connection, text
from treenail.contributions import Act
from treenail.db import tenant_session
from treenail.migrate import owner

from treenail_audit import inbox, sealer, verification
from treenail_audit.anchors import Anchors
from treenail_audit.verification import Verdict


def act(tenant_id: str, n: int = 0, **members: Any) -> Act:
    """Something that somebody did."""
    said: dict[str, Any] = {
        "tenant_id": tenant_id,
        "actor_id": f"actor-{n % 3}",
        "action": "beam:update",
        "resource_type": "beam",
        "resource_id": f"beam-{n}",
        "method": "PATCH",
        "route": "/beams/<id>",
        "outcome": "success",
        "status": 200,
        "code": None,
        "request_id": f"r-{n}",
        "ip": "192.0.2.7",
        "user_agent": "planer/2 🪵",
    }
    return Act(**{**said, **members})


def write(app: Flask, tenant_id: str, *, batches: int = 3, size: int = 4) -> None:
    """Seal some batches of records, each with its checkpoint and anchor."""
    for batch in range(batches):
        wait(app, tenant_id, size, first=batch * size)
        with app.app_context():
            sealer.seal(tenant_id)


def wait(app: Flask, tenant_id: str, acts: int, first: int = 0) -> None:
    """Put acts on record, not sealed yet."""
    with app.app_context(), tenant_session(tenant_id) as session:
        for n in range(first, first + acts):
            inbox.within(session, act(tenant_id, n))


def verdict(app: Flask, tenant_id: str) -> Verdict:
    """What verification says."""
    with app.app_context():
        return verification.verify(tenant_id)


def anchors(app: Flask, tenant_id: str) -> Anchors:
    """The tenant's file."""
    return Anchors.of(app.extensions["treenail"].settings, tenant_id)


@contextmanager
def unguarded(app: Flask) -> Iterator[Connection]:
    """The owner's connection without triggers, nothing hidden; rolled back at the end."""
    with (
        suppress(_Undone),
        app.app_context(),
        owner.transaction(app.extensions["treenail"].settings) as connection,
    ):
        for statement in _disarm(connection):
            connection.execute(text(statement))
        yield connection
        raise _Undone


class _Undone(Exception):
    """Ends a tampering that was looked at."""


def _disarm(connection: Connection) -> list[str]:
    if connection.dialect.name == "postgresql":
        return ["ALTER TABLE audit_records DISABLE TRIGGER USER"]
    named = text("SELECT name FROM sqlite_master WHERE type = 'trigger'")
    return [f"DROP TRIGGER {name}" for name in connection.scalars(named)]
