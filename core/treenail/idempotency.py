"""Idempotency keys: a request that is sent again gets its first answer, and changes nothing.

After the IETF draft *The Idempotency-Key HTTP Header Field*. The row of a tenant's request
commits with the change it stands for, so there is no row of a request that is still running
and a killed process leaves none behind. That a request runs is said by a lock that dies with
its holder: an advisory lock on PostgreSQL, a set in memory beside SQLite (one process).
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import ForeignKey, String, UniqueConstraint, delete, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from treenail.clock import utcnow
from treenail.db import Global, Identified, Model, Sealed, Tenanted, db, system_session, uuid_type
from treenail.db.sealed import sealed_column
from treenail.errors import Conflict, Invalid

KEPT_FOR = timedelta(hours=72)
DAY = 24 * 3600
_running: set[str] = set()
_lock = threading.Lock()


class _Kept(Identified):
    """A first answer; both digests are SHA-256 in hexadecimal."""

    user_id: Mapped[str] = mapped_column(
        uuid_type(), ForeignKey("core_users.id", ondelete="CASCADE")
    )
    scope: Mapped[str] = mapped_column(String(64))
    request: Mapped[str] = mapped_column(String(64))
    answer_sealed: Mapped[bytes] = sealed_column()
    created_at: Mapped[datetime] = mapped_column(default=utcnow, index=True)
    answer = Sealed("answer_sealed")


class IdempotencyKey(_Kept, Tenanted, Model):
    """A key used in a tenant."""

    __tablename__ = "core_idempotency_keys"
    __table_args__ = (UniqueConstraint("tenant_id", "user_id", "scope"),)


class PersonalIdempotencyKey(_Kept, Global, Model):
    """A key used by a person outside any tenant, e.g. to make one."""

    __tablename__ = "core_personal_idempotency_keys"
    __table_args__ = (UniqueConstraint("user_id", "scope"),)


@dataclass(frozen=True)
class Use:
    """One use of a key: ``scope`` is the digest of method, path and key, ``request`` of what
    was asked (method, path and body).

    Without a tenant the key is the person's: which tenant such a request is made from changes
    by itself, for one with the very first ``POST /tenants``.
    """

    tenant_id: str | None
    user_id: str
    scope: str
    request: str


@dataclass(frozen=True)
class Answer:
    """What a request was answered."""

    status: int
    headers: dict[str, str]
    body: bytes


@contextmanager
def running(use: Use) -> Iterator[None]:
    """Run a block for this use of the key alone; raises 409 ``idempotency_in_progress``."""
    name = f"{use.tenant_id}/{use.user_id}/{use.scope}"
    with _lock:
        free = name not in _running
        _running.add(name)
    if not free:
        raise _in_progress()
    try:
        with _locked(name):
            yield
    finally:
        with _lock:
            _running.discard(name)


def find(session: Session, use: Use) -> Answer | None:
    """The first answer; None the first time. Raises 422 ``idempotency_key_reused``."""
    row = session.scalar(_select(use))
    if row is None:
        return None
    if row.created_at < utcnow() - KEPT_FOR:
        session.delete(row)
        session.flush()
        return None
    if row.request != use.request:
        problem = {"Idempotency-Key": ["This key was used for another request."]}
        raise Invalid(problem, code="idempotency_key_reused")
    head, _, body = row.answer.partition(b"\n")
    return Answer(**orjson.loads(head), body=body)


def keep(session: Session, use: Use, answer: Answer) -> None:
    """Keep the first answer, if the session's transaction commits."""
    head = orjson.dumps({"status": answer.status, "headers": answer.headers})
    values: dict[str, Any] = {"user_id": use.user_id, "scope": use.scope, "request": use.request}
    row = (
        IdempotencyKey(tenant_id=use.tenant_id, **values)
        if use.tenant_id
        else PersonalIdempotencyKey(**values)
    )
    row.answer = head + b"\n" + answer.body
    session.add(row)


def prune() -> None:
    """Forget what is older than 72 hours."""
    with system_session("prune idempotency keys") as session:
        for model in (IdempotencyKey, PersonalIdempotencyKey):
            session.execute(delete(model).where(model.created_at < utcnow() - KEPT_FOR))


def _select(use: Use) -> Any:
    model = IdempotencyKey if use.tenant_id else PersonalIdempotencyKey
    return select(model).where(model.user_id == use.user_id, model.scope == use.scope)


@contextmanager
def _locked(name: str) -> Iterator[None]:
    """Hold the name among all processes; nothing to do where there is only one."""
    if db.engine.dialect.name != "postgresql":
        yield
        return
    number = func.hashtextextended(name, 0)
    with system_session("idempotency lock", read_only=True) as session:
        if not session.scalar(select(func.pg_try_advisory_xact_lock(number))):
            raise _in_progress()
        yield


def _in_progress() -> Conflict:
    return Conflict(
        "The first request with this key still runs.",
        code="idempotency_in_progress",
        headers={"Retry-After": "1"},
    )
