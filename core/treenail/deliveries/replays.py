"""Replays: new deliveries of events that were, for a target that wants them (again)."""

from collections.abc import Callable, Iterable
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from sqlalchemy import Select, bindparam, func, select
from sqlalchemy.orm import aliased

from treenail import platform
from treenail.contributions import Event, Subscription, Target
from treenail.db import Plan, SystemSession, TenantSession
from treenail.db.plans import Row
from treenail.deliveries import relay
from treenail.deliveries.claims import policy_of
from treenail.deliveries.models import DEAD, DONE, PENDING, RUNNING, DeliveryRow
from treenail.events import HINTED, OutboxEvent, event_of
from treenail.ids import first_of

PAGE = 500
MOST = 10_000
END = "ffffffff-ffff-ffff-ffff-ffffffffffff"
Sessions = SystemSession | TenantSession
Fits = Callable[[Event, str | None], bool]


def replay(
    session: Sessions,
    subscription: str,
    target: str,
    tenant_id: str,
    *,
    since: datetime,
    until: datetime | None = None,
    fits: Fits = lambda event, status: True,
) -> int:
    """Deliver a tenant's past events to a target (again) when the caller's transaction commits.

    Of the events made from ``since`` to ``until`` (the present) those go that the subscription
    and its target are for, that are not on their way to it already, and that ``fits``: which
    is given the event and how its last delivery ended (``done``, ``dead``, None for never).
    Returns how many. Raises `KeyError` for a subscription that is not there, `ValueError` when
    there are more than 10,000: nothing is replayed then, if the caller rolls back.
    """
    subscribed = platform.current().subscriptions[subscription]
    place, end, made = first_of(since), first_of(until) if until else END, 0
    own = {"subscription": subscription, "target": target, "tenant": tenant_id}
    while page := session.rows(PAST, place=place, end=end, **own):
        place = page[-1].id
        wanted = [row for row in page if _wants(row, subscribed, target, fits)]
        _deliver(session, subscription, target, wanted)
        made += len(wanted)
        if made > MOST:
            raise ValueError(f"more than {MOST} events")
    return made


def redeliver(session: Sessions, delivery_id: str) -> bool:
    """Deliver once more what is done or dead, when the caller's transaction commits.

    Returns False for a delivery that is not there, not over, or on its way again already.
    """
    for row in session.rows(ONE, delivery=delivery_id):
        if row.open or row.status not in (DONE, DEAD):
            return False
        _deliver(session, row.subscription, row.target, [row])
        return True
    return False


def _deliver(session: Sessions, subscription: str, target: str, rows: Iterable[Row]) -> None:
    """New deliveries, after all that there were of these events to the target."""
    subscribed = platform.current().subscriptions[subscription]
    made: list[DeliveryRow] = []
    for row in rows:
        event, number = event_of(row), -1 if row.replays is None else row.replays
        found = Target(target, policy_of(subscribed, event, target))
        made.extend(relay.deliveries(event, subscription, [found], number + 1))
    session.put_all(made)
    session.info[HINTED] = True


def _wants(row: Row, subscribed: Subscription, target: str, fits: Fits) -> bool:
    event = event_of(row)
    return (
        not row.open
        and any(fnmatchcase(event.type, pattern) for pattern in subscribed.events)
        and fits(event, row.status)
        and any(found.key == target for found in subscribed.targets(event))
    )


def _past() -> Select[Any]:
    named: Any = (bindparam("subscription"), bindparam("target"))
    events = _with_deliveries(*named).where(
        OutboxEvent.tenant_id == bindparam("tenant"),
        OutboxEvent.id > bindparam("place"),
        OutboxEvent.id < bindparam("end"),
        OutboxEvent.relayed_at.is_not(None),
    )
    return events.order_by(OutboxEvent.id).limit(PAGE)


def _one() -> Select[Any]:
    found = _with_deliveries(DeliveryRow.subscription, DeliveryRow.target)
    own = (DeliveryRow.subscription, DeliveryRow.target)
    joined = found.add_columns(*own).join(DeliveryRow, DeliveryRow.event_id == OutboxEvent.id)
    return joined.where(DeliveryRow.id == bindparam("delivery"))


def _with_deliveries(subscription: Any, target: Any) -> Select[Any]:
    """Events, each with how often it went to a target, how that ended and whether it goes on."""
    other = aliased(DeliveryRow)
    of_target = (other.subscription == subscription, other.target == target)
    own = select(other).where(other.event_id == OutboxEvent.id, *of_target)
    last = own.order_by(other.replay.desc()).limit(1)
    events = (OutboxEvent, DeliveryRow)
    replays = own.with_only_columns(func.max(other.replay)).correlate(*events)
    status = last.with_only_columns(other.status).correlate(*events)
    on_its_way = own.where(other.status.in_([PENDING, RUNNING])).correlate(*events)
    return select(
        *OutboxEvent.__table__.columns,
        replays.scalar_subquery().label("replays"),
        status.scalar_subquery().label("status"),
        on_its_way.exists().label("open"),
    )


PAST, ONE = Plan(_past), Plan(_one)
