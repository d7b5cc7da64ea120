"""Throttling: after some free tries each further one must wait, twice as long every time.

Kept in the database, so that it holds across processes. A try is counted before it is made
(many at once would else all be free) and taken back when it succeeds. A wait is never longer
than 15 minutes and an hour's quiet ends it; and from an address where the person has logged
in before, tries are counted apart: nobody can lock somebody out for good (OWASP ASVS 5.0,
6.3.1).
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from sqlalchemy import case, exists, or_, select, update
from sqlalchemy.orm import Session
from treenail import platform
from treenail.clock import utcnow
from treenail.db import system_session
from treenail.db.upsert import upsert
from treenail.errors import TooManyRequests
from treenail.web.proxies import network_of

from treenail_auth.models import SessionRow, Throttle

LONGEST_WAIT = timedelta(minutes=15)
QUIET = timedelta(hours=1)
FREE_OF_ACCOUNT, FREE_OF_ADDRESS = 5, 60


@dataclass(frozen=True)
class Counter:
    """What tries are counted by, and how many of them are free."""

    key: str
    free: int


Counters = tuple[Counter, ...]


def counters(action: str, ip: str, account: str = "", user_id: str | None = None) -> Counters:
    """What a try at an action counts for: the client's address, and the account if any.

    ``account`` may be one that doesn't exist; ``user_id`` says that it does.
    """
    network = network_of(ip)
    made = (Counter(_key(action, "address", network), FREE_OF_ADDRESS),)
    if not account:
        return made
    place = network if _is_known(user_id, ip) else ""
    return (*made, Counter(_key(action, "account", account, place), FREE_OF_ACCOUNT))


def count(found: Counters) -> None:
    """Count a try; raises `TooManyRequests` when one of them is to wait."""
    if not platform.current().settings.rate_limits:
        return
    with system_session("throttle") as session:
        for counter in sorted(found, key=lambda c: c.key):  # one order: writers never deadlock
            _count(session, counter, utcnow())


def forgive(session: Session, found: Counters) -> None:
    """Take the try back: it succeeded; what the account had failed before is forgotten."""
    for counter in sorted(found, key=lambda c: c.key):
        left = Throttle.tries - 1 if counter.free == FREE_OF_ADDRESS else 0
        undone = update(Throttle).where(Throttle.key == counter.key)
        session.execute(undone.values(tries=left, blocked_until=None))


def _count(session: Session, counter: Counter, now: datetime) -> None:
    quiet = Throttle.seen_at < now - QUIET
    tries = case((quiet, 1), else_=Throttle.tries + 1)
    free = or_(Throttle.blocked_until.is_(None), Throttle.blocked_until <= now)
    changes = {"tries": tries, "seen_at": now}
    counted = upsert(session, Throttle, {"key": counter.key}, changes, where=free)
    row = session.get_one(Throttle, counter.key)
    if not counted:
        after = ceil(((row.blocked_until or now) - now).total_seconds())
        raise TooManyRequests(max(after, 1), counter.free, code="too_many_attempts")
    if row.tries >= counter.free:
        doublings = min(row.tries - counter.free + 1, 10)
        row.blocked_until = now + min(timedelta(seconds=2**doublings), LONGEST_WAIT)


def _is_known(user_id: str | None, ip: str) -> bool:
    """Whether the person has logged in from there; asked for strangers too, to take as long."""
    here = exists().where(SessionRow.user_id == user_id, SessionRow.ip == ip[:64])
    with system_session("throttle", read_only=True) as session:
        return bool(session.scalar(select(here)))


def _key(action: str, kind: str, *names: str) -> str:
    """Hashed: it may name an e-mail that has no account."""
    return f"{action}:{hashlib.sha256(repr((kind, names)).encode()).hexdigest()}"
