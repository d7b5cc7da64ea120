"""Claims: which deliveries a worker holds, as the database knows it.

A claim is a lease of a few seconds that the worker's heartbeat renews: what a killed one held
is due again when it ends. Whatever is written of a claim is fenced by its owner, a word made
for each batch, so that a worker that was merely slow can't overwrite another's outcome.
"""

import secrets
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

import structlog
from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    and_,
    bindparam,
    exists,
    func,
    null,
    select,
    update,
)
from sqlalchemy.orm import aliased

from treenail.clock import utcnow
from treenail.contributions import Event, Policy, Subscription, Target
from treenail.db import Plan, SystemReads, SystemSession, system_session
from treenail.db.plans import Row, padded
from treenail.deliveries import relay
from treenail.deliveries.models import DEAD, DONE, PENDING, RUNNING, DeliveryRow, is_open
from treenail.events import OutboxEvent, event_of

LEASE = 4.0
"""Seconds; a worker's heartbeat comes several times in them."""
CRASHES = 5
"""So often a delivery is taken up at once after its worker died; then it waits its schedule."""
HASTE = (
    *("synchronous_commit = off", "jit = off"),
    *("enable_sort = off", "enable_bitmapscan = off", "enable_seqscan = off"),
)
"""How PostgreSQL is to work here. What a power failure forgets is done again; and it knows too
little of how long a queue is at the moment: it would sort all of it for every claim."""
MAX_ERROR = 2000
log = structlog.get_logger("treenail.deliveries")


@dataclass(eq=False)
class Claim:
    """A delivery this worker holds the lease of; times are the monotonic clock's."""

    id: str
    owner: str
    subscription: str
    target: str
    attempt: int
    failures: int
    event: Event
    policy: Policy = field(default_factory=Policy)
    taken: float = field(default_factory=monotonic)
    begun: float = 0


@dataclass(frozen=True)
class Found:
    """What an exchange brought: the events relayed, the claims; without any, what is due next."""

    events: int
    claims: list[Claim]
    due: datetime | None


@dataclass(frozen=True)
class Outcome:
    """What came of a try, and when the delivery is due again if it is not over."""

    claim: Claim
    status: str
    due: datetime
    error: str | None = None


def exchange(
    subscriptions: Mapping[str, Subscription],
    outcomes: Iterable[Outcome] = (),
    busy: Collection[str] = (),
    limit: int = 1,
) -> Found:
    """Record outcomes, relay new events, claim up to ``limit`` due deliveries: one transaction.

    Nothing of the ``busy`` lanes is claimed (`lane`).
    """
    with system_session("deliver", settings=HASTE) as session:
        record(session, outcomes)
        events = relay.fan_out(session, subscriptions)
        claims = _claim(session, subscriptions, busy, limit) if limit > 0 else []
        due = None if claims else _due_after(session, subscriptions)
    for claim in claims:
        claim.policy = policy_of(subscriptions[claim.subscription], claim.event, claim.target)
    return Found(events, claims, due)


def lane(claim: Claim) -> str:
    """What a delivery shares with all others to the same target."""
    return f"{claim.subscription} {claim.target}"


def record(session: SystemSession, outcomes: Iterable[Outcome]) -> None:
    """Write down what came of tries, where the claim still stands."""
    done = defaultdict(list)
    for outcome in outcomes:
        if outcome.status == DONE:
            done[outcome.claim.owner].append(outcome.claim.id)
        else:
            _record_failure(session, outcome)
    for owner, ids in done.items():
        session.change(SUCCEEDED, ids=padded(ids), holder=owner, moment=utcnow())


def settle(outcomes: Sequence[Outcome]) -> None:
    """Write down what came of tries, in a transaction of its own."""
    if outcomes:
        with system_session("deliver", settings=HASTE) as session:
            record(session, outcomes)


def renew(claims: Iterable[Claim]) -> None:
    """Another `LEASE` for what is still held."""
    _change(RENEWED, claims, moment=utcnow() + timedelta(seconds=LEASE))


def give_back(claims: Iterable[Claim]) -> None:
    """Let others have what was not begun; no attempt is counted."""
    _change(GIVEN_BACK, claims, moment=utcnow())


def due_next(subscriptions: Collection[str]) -> datetime | None:
    """When there is something to do, relaying included; None while nothing waits."""
    (found,) = SystemReads("sweep").rows(WAITING, names=padded(subscriptions))
    return utcnow() if found.news else _earlier(found)


def _due_after(session: SystemSession, subscriptions: Collection[str]) -> datetime | None:
    (found,) = session.rows(LATER, names=padded(subscriptions), moment=utcnow())
    return _earlier(found)


def policy_of(subscription: Subscription, event: Event, target: str) -> Policy:
    """The policy that a target has now; the usual one if it is gone or can't be told."""
    try:
        found = (t for t in subscription.targets(event) if t.key == target)
        return next(found, Target(target)).policy
    except Exception:
        log.exception("targets_failed", event_id=event.id)
        return Policy()


def _claim(
    session: SystemSession,
    subscriptions: Mapping[str, Subscription],
    busy: Collection[str],
    limit: int,
) -> list[Claim]:
    given = {"names": padded(subscriptions), "busy": padded(busy)}
    heads = session.rows(DUE_HEADS, **given, moment=utcnow(), most=(limit + 1) // 2)
    due = list[Row]()
    if heads:
        ids = padded([head.id for head in heads])
        due += session.rows(HEADS, **given, ids=ids, moment=utcnow(), most=limit)
    due += session.rows(DUE, **given, moment=utcnow(), most=limit - len(due))
    rows = [row for row in due if not _put_off(session, row, subscriptions)]
    if not rows:
        return _claim(session, subscriptions, busy, limit) if due else []
    owner, ids = secrets.token_hex(8), padded([row.delivery_id for row in rows])
    until = utcnow() + timedelta(seconds=LEASE)
    session.change(TAKEN, ids=ids, holder=owner, moment=until)
    return [_claimed(row, owner) for row in rows]


def _claimed(row: Row, owner: str) -> Claim:
    attempt = row.attempts + 1
    event = event_of(row)
    return Claim(row.delivery_id, owner, row.subscription, row.target, attempt, row.failures, event)


def _put_off(session: SystemSession, row: Row, subscriptions: Mapping[str, Subscription]) -> bool:
    """Whether a delivery has to wait, because worker after worker died of it."""
    crashes = row.attempts - row.failures
    if row.status != RUNNING or crashes < CRASHES:
        return False
    subscription = subscriptions[row.subscription]
    schedule = policy_of(subscription, event_of(row), row.target).schedule or (60,)
    wait = schedule[min(crashes - CRASHES, len(schedule) - 1)]
    moment = utcnow() + timedelta(seconds=wait)
    session.change(PUT_OFF, ids=[row.delivery_id], moment=moment)
    log.warning("delivery_kills", subscription=row.subscription, event_id=row.id, crashes=crashes)
    return True


def _record_failure(session: SystemSession, outcome: Outcome) -> None:
    claim = outcome.claim
    # PostgreSQL's text holds no NUL, and an unrecorded failure would be tried for ever.
    error = (outcome.error or "").replace("\0", "")[:MAX_ERROR]
    log.warning(
        "delivery_failed",
        subscription=claim.subscription,
        event_id=claim.event.id,
        attempt=claim.attempt,
        status=outcome.status,
        error=error,
    )
    session.change(
        FAILED,
        ids=[claim.id],
        holder=claim.owner,
        moment=outcome.due,
        state=outcome.status,
        error=error,
        end=utcnow() if outcome.status == DEAD else None,
    )


def _change(plan: Plan, claims: Iterable[Claim], **values: Any) -> None:
    of_owner = defaultdict(list)
    for claim in claims:
        of_owner[claim.owner].append(claim.id)
    if of_owner:
        with system_session("deliver", settings=HASTE) as session:
            for owner, ids in of_owner.items():
                session.change(plan, ids=padded(ids), holder=owner, **values)


_NAMES: Any = bindparam("names", expanding=True)
_BUSY: Any = bindparam("busy", expanding=True)


def is_due() -> ColumnElement[bool]:
    """Open, its turn come, and of a plugin that is there: the others' stay until it is back."""
    return and_(is_open(), DeliveryRow.due_at <= bindparam("moment"), _is_present())


def _is_present() -> ColumnElement[bool]:
    return DeliveryRow.subscription.in_(_NAMES)


def _heads() -> Any:
    """The first of each line: ``id``, ``due_at``, ``subscription``, ``line``.

    Found from line to line, by an index: they may be long, and all that wait in them due.
    """
    first, following, head = (aliased(DeliveryRow) for _ in range(3))
    start = select(func.min(first.line).label("line")).where(is_open(first))
    lines = start.where(first.line.is_not(None)).cte("lines", recursive=True)
    further = (is_open(following), following.line > lines.c.line)
    step = select(func.min(following.line)).where(*further).scalar_subquery()
    lines = lines.union_all(select(step).where(lines.c.line.is_not(None)))
    wanted = (head.id, head.due_at, head.subscription)
    own = select(head.id).where(head.line == lines.c.line, is_open(head)).order_by(head.id).limit(1)
    cells = [own.with_only_columns(cell).scalar_subquery().label(cell.key) for cell in wanted]
    return select(*cells, lines.c.line).where(lines.c.line.is_not(None)).subquery("heads")


def _due_heads() -> Select[Any]:
    heads = _heads().c
    due = (heads.due_at <= bindparam("moment"), heads.subscription.in_(_NAMES))
    found = select(heads.id).where(*due, heads.line.not_in(_BUSY))
    return found.order_by(heads.due_at).limit(bindparam("most", type_=Integer))


def _due(*which: ColumnElement[bool]) -> Select[Any]:
    lane_of = DeliveryRow.subscription + " " + DeliveryRow.target
    own = (DeliveryRow.subscription, DeliveryRow.target, DeliveryRow.status)
    counts = (DeliveryRow.attempts, DeliveryRow.failures)
    event = [column for column in OutboxEvent.__table__.columns if column.name != "relayed_at"]
    return (
        select(DeliveryRow.id.label("delivery_id"), *own, *counts, *event)
        .join(OutboxEvent, OutboxEvent.id == DeliveryRow.event_id)
        .where(is_due(), *which)
        .where(lane_of.not_in(_BUSY))
        .order_by(DeliveryRow.due_at, DeliveryRow.id)
        .limit(bindparam("most", type_=Integer))
        .with_for_update(skip_locked=True, of=DeliveryRow)
    )


def _no_line() -> ColumnElement[bool]:
    return DeliveryRow.line.is_(None)


def _is_head() -> ColumnElement[bool]:
    return DeliveryRow.id.in_(bindparam("ids", expanding=True))


def _next(*after: Any) -> Any:
    """When the first is due, of those in no line and of the heads of lines."""
    heads = _heads().c
    alone = select(func.min(DeliveryRow.due_at)).where(is_open(), _is_present(), _no_line())
    head = select(func.min(heads.due_at)).where(heads.subscription.in_(_NAMES))
    for moment in after:
        alone, head = alone.where(DeliveryRow.due_at > moment), head.where(heads.due_at > moment)
    return alone.scalar_subquery().label("alone"), head.scalar_subquery().label("head")


def _waiting() -> Any:
    return select(exists().where(OutboxEvent.relayed_at.is_(None)).label("news"), *_next())


def _later() -> Any:
    return select(*_next(bindparam("moment")))


def _earlier(found: Row) -> datetime | None:
    return min(filter(None, (found.alone, found.head)), default=None)


def _update(*still: ColumnElement[bool], **values: Any) -> Plan:
    ids = DeliveryRow.id.in_(bindparam("ids", expanding=True))
    return Plan(lambda: update(DeliveryRow).where(ids, *still).values(**values))


_HELD = DeliveryRow.lease_owner == bindparam("holder")
_MOMENT: Any = bindparam("moment", type_=DeliveryRow.due_at.type)
_FREE = {"lease_owner": null(), "due_at": _MOMENT}
DUE, HEADS = Plan(lambda: _due(_no_line())), Plan(lambda: _due(_is_head()))
DUE_HEADS = Plan(_due_heads)
LATER, WAITING = Plan(_later), Plan(_waiting)
TAKEN = _update(
    status=RUNNING,
    lease_owner=bindparam("holder"),
    due_at=_MOMENT,
    attempts=DeliveryRow.attempts + 1,
)
RENEWED = _update(_HELD, due_at=_MOMENT)
GIVEN_BACK = _update(_HELD, **_FREE, status=PENDING, attempts=DeliveryRow.attempts - 1)
PUT_OFF = _update(**_FREE, status=PENDING)
SUCCEEDED = _update(_HELD, **_FREE, status=DONE, finished_at=_MOMENT, last_error=null())
FAILED = _update(
    _HELD,
    **_FREE,
    status=bindparam("state"),
    failures=DeliveryRow.failures + 1,
    last_error=bindparam("error"),
    finished_at=bindparam("end"),
)
