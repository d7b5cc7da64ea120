"""The inbox: each act is written down in the transaction of its change, and sealed later.

Later, because a chain has one end: to lock it in every request would make all of a tenant's
changes wait for one another (measured: 1,721 transactions a second instead of 7,560).
"""

import hashlib
import threading
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Table, exists, or_, select
from treenail.clock import rfc3339, utcnow
from treenail.contributions import Act
from treenail.db import TenantSession, system_session
from treenail.db.upsert import upsert
from treenail.ids import uuid7
from treenail.logs import SECRET_TEXT

from treenail_audit.chain import canonical
from treenail_audit.models import Head, Waiting

INBOX = cast(Table, Waiting.__table__)
MINUTE = 60
REMEMBERED = 10_000


def within(session: TenantSession, act: Act) -> None:
    """Put a change on record, in its own transaction."""
    session.put_row(INBOX, row(act))


class Doorkeeper:
    """Puts on record what has no transaction; what is refused over and over is counted.

    Per actor, action and outcome the first one of a minute is written at once, those after
    it are one record with their number, at the minute's end: a flood can't fill the log.
    """

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._lock = threading.Lock()

    def apart(self, act: Act) -> None:
        """Put an act on record, in a transaction of its own."""
        now = utcnow()
        waiting = row(act)
        minute = int(now.timestamp()) // MINUTE
        name = _name(act, minute)
        if act.outcome == "success" or self._is_first(name):
            with system_session("record an act") as session:
                session.put_rows(INBOX, [waiting | {"tenant_id": act.tenant_id}])
            return
        due = datetime.fromtimestamp((minute + 1) * MINUTE, UTC)
        key = {"tenant_id": act.tenant_id, "id": str(UUID(bytes=name))}
        waiting.pop("id")
        count = Waiting.times + 1
        with system_session("count acts") as session:
            upsert(session, Waiting, key, waiting | {"due_at": due, "times": count})

    def _is_first(self, name: bytes) -> bool:
        with self._lock:
            first = name not in self._seen
            self._seen[name] = None
            if len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)
        return first


def has_work() -> bool:
    """Whether anything is to be sealed or anchored now."""
    waiting = exists().where(is_due())
    unanchored = exists().where(Head.anchored_seq < Head.seq)
    with system_session("look into the inbox", read_only=True) as session:
        return bool(session.scalar(select(or_(waiting, unanchored))))


def tenants_with_work() -> list[str]:
    """Whose acts are to be sealed, or whose end is to be anchored."""
    waiting = select(Waiting.tenant_id).where(is_due())
    unanchored = select(Head.tenant_id).where(Head.anchored_seq < Head.seq)
    with system_session("look into the inbox", read_only=True) as session:
        return list(session.scalars(waiting.union(unanchored)))


def is_due() -> Any:
    """What may be sealed now."""
    return or_(Waiting.due_at.is_(None), Waiting.due_at <= utcnow())


def _name(act: Act, minute: int) -> bytes:
    """16 bytes that name the flood an act would be part of."""
    same = (act.tenant_id, act.actor_id, act.action, act.method, act.route, act.outcome, minute)
    return hashlib.sha256(repr(same).encode()).digest()[:16]


def row(act: Act) -> dict[str, Any]:
    """The act as it waits, but whose it is; what there is not is left out."""
    entry = {
        "at": rfc3339(utcnow()),
        "actorId": act.actor_id,
        "action": act.action,
        "resourceType": act.resource_type,
        "method": act.method,
        "route": act.route,
        "outcome": act.outcome,
        "status": act.status,
        "fields": act.fields,
        "events": act.events,
    }
    if act.resource_id:
        entry["resourceId"] = act.resource_id
    if act.request_id:
        entry["requestId"] = act.request_id
    if act.arguments:
        entry["arguments"] = act.arguments
    if act.code:
        entry["code"] = act.code
    # What somebody sent as a user agent may be a secret that was meant for another header.
    agent = act.user_agent and SECRET_TEXT.sub("[redacted]", act.user_agent)
    return {
        "id": uuid7(),
        "entry": canonical(entry),
        "personal": canonical({"ip": act.ip, "userAgent": agent}),
        "due_at": None,
        "times": 1,
    }
