"""Finding records, and reading them as what they say."""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import cache
from typing import Any, cast

import orjson
from sqlalchemy import ColumnElement, Select, or_, select
from sqlalchemy.orm import defer
from treenail.clock import rfc3339
from treenail.db import TenantSession, tenant_session

from treenail_audit import chain, subjects
from treenail_audit.models import Record
from treenail_audit.subjects import Keys, place

AT_ONCE = 500
EQUAL = {"actor_id": Record.actor_id, "action": Record.action, "outcome": Record.outcome}
EMPTY: dict[str, Any] = {
    **dict.fromkeys(("resource_id", "code", "request_id", "ip", "user_agent")),
    **{"fields": [], "arguments": {}},
}


def found(session: TenantSession, filters: dict[str, Any]) -> Select[Any]:
    """Select the session's tenant's records that fit, as `shown` wants them."""
    stored = chain.stored(session.get_bind().dialect.name, Record.canonical)
    known = defer(Record.canonical, raiseload=True)
    wanted: Any = select(Record, stored.label("canonical")).options(known)
    return cast(Select[Any], wanted.where(*_conditions(filters)))


def shown(session: TenantSession, rows: Iterable[Any]) -> list[dict[str, Any]]:
    """What each record says, whole, with its place in the chain."""
    read = [(row, _said(row.canonical)) for row in rows]
    actors = {str(said.get("actorId", "")) for _, said in read}
    keys = Keys(subjects.known(session, session.tenant_id, actors))
    return [_document(row, said, keys, session.tenant_id) for row, said in read]


def export(tenant_id: str, filters: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every record that fits and is sealed by now, oldest first.

    Read in portions, each a transaction of its own: whoever is slow in taking them keeps
    nobody waiting, and as records are numbered without a gap none is missed or twice there.
    """
    with tenant_session(tenant_id, read_only=True) as session:
        end = session.scalar(select(Record.seq).order_by(Record.seq.desc()).limit(1)) or 0
    last = 0
    while True:
        with tenant_session(tenant_id, read_only=True) as session:
            portion = found(session, filters).where(Record.seq > last, Record.seq <= end)
            rows = session.execute(portion.order_by(Record.seq).limit(AT_ONCE)).all()
            yield from shown(session, rows)
        if len(rows) < AT_ONCE:
            return
        last = rows[-1].Record.seq


def _conditions(filters: dict[str, Any]) -> Iterator[ColumnElement[bool]]:
    for name, column in EQUAL.items():
        if name in filters:
            yield column == filters[name]
    if "resource" in filters:
        kind, slash, resource_id = filters["resource"].partition("/")
        either = or_(Record.resource_type == kind, Record.resource_id == kind)
        both = (Record.resource_type == kind) & (Record.resource_id == resource_id)
        yield both if slash else either
    moment: datetime | None
    if moment := filters.get("since"):
        yield Record.occurred_at >= rfc3339(moment)
    if moment := filters.get("until"):
        yield Record.occurred_at <= rfc3339(moment)
    if filters.get("q"):
        yield Record.canonical.icontains(filters["q"], autoescape=True)


def _said(canonical: bytes) -> dict[str, Any]:
    """What a record says; of one that was tampered with, nothing."""
    try:
        said = orjson.loads(canonical)
    except orjson.JSONDecodeError:
        return {}
    return said if isinstance(said, dict) else {}


def _document(row: Any, said: dict[str, Any], keys: Keys, tenant_id: str) -> dict[str, Any]:
    record: Record = row.Record
    where = place(tenant_id, record.id)
    personal = keys.unlock(said.get("actorId", ""), record.personal, where)
    resource = filter(None, (said.get("resourceType"), said.get("resourceId")))
    return {
        **EMPTY,
        **{_inside(name): value for name, value in (said | personal).items()},
        "events": [{"type": name, "subject": about} for name, about in said.get("events", ())],
        "resource": "/".join(resource),
        "seq": record.seq,
        "id": record.id,
        "prev_hash": record.prev_hash,
        "hash": record.hash,
        "count": record.times,
    }


@cache
def _inside(name: str) -> str:
    """``actorId`` is ``actor_id`` inside."""
    return re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", name)
