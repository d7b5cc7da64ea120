"""The relay: turns new events into one delivery per interested target."""

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import structlog
from sqlalchemy import Select, bindparam, func, select, update

from treenail.clock import utcnow
from treenail.contributions import Event, Subscription, Target
from treenail.db import Plan, SystemSession, system_session
from treenail.db.plans import padded
from treenail.deliveries.models import EVERY, DeliveryRow, line_of
from treenail.events import OutboxEvent, event_of

BATCH = 200
_TURN = 0x7265_6C61_79  # the advisory lock of who relays
log = structlog.get_logger("treenail.deliveries")


def relay(subscriptions: Mapping[str, Subscription]) -> int:
    """Fan out a batch of new events in a transaction of its own; returns how many there were."""
    with system_session("relay") as session:
        return fan_out(session, subscriptions)


def fan_out(session: SystemSession, subscriptions: Mapping[str, Subscription]) -> int:
    """Make the deliveries of a batch of new events; returns how many there were.

    Killed before the commit, it has done nothing and the events are still new. While another
    process does the same there is nothing to do: two at once would break FIFO targets' order.
    """
    alone = session.get_bind().dialect.name == "sqlite"
    events = session.rows(NEW if alone else NEW_IF_ALONE)
    if events:
        made = [row for event in events for row in _fan_out(event_of(event), subscriptions)]
        session.put_all(made)
        session.change(RELAYED, ids=padded([event.id for event in events]), moment=utcnow())
    return len(events)


def _new() -> Select[Any]:
    new = select(*OutboxEvent.__table__.columns).where(OutboxEvent.relayed_at.is_(None))
    return new.order_by(OutboxEvent.id).limit(BATCH)


def _new_if_alone() -> Select[Any]:
    # Locked as well: what was relayed since this statement began is then seen to be.
    turn = select(func.pg_try_advisory_xact_lock(_TURN)).scalar_subquery()
    return _new().where(turn).with_for_update(skip_locked=True, of=OutboxEvent)


NEW, NEW_IF_ALONE = Plan(_new), Plan(_new_if_alone)
RELAYED = Plan(
    lambda: (
        update(OutboxEvent)
        .where(OutboxEvent.id.in_(bindparam("ids", expanding=True)))
        .values(relayed_at=bindparam("moment"))
    )
)


def _fan_out(event: Event, subscriptions: Mapping[str, Subscription]) -> Iterator[DeliveryRow]:
    for name, subscription in subscriptions.items():
        if any(fnmatchcase(event.type, pattern) for pattern in subscription.events):
            yield from deliveries(event, name, _targets(name, subscription, event))


def deliveries(
    event: Event, name: str, targets: Sequence[Target], replay: int = 0
) -> Iterator[DeliveryRow]:
    """One new row for each target."""
    for key, target in {target.key: target for target in targets}.items():
        line = line_of(name, target)
        yield DeliveryRow(
            event_id=event.id, subscription=name, target=key, line=line, replay=replay
        )


def spread(event: Event, name: str, subscription: Subscription) -> None:
    """Make the deliveries that fan-out could not, because `targets` raised then."""
    with system_session("fan out") as session:
        own = (DeliveryRow.event_id == event.id, DeliveryRow.subscription == name)
        there = set(session.scalars(select(DeliveryRow.target).where(*own)))
        missing = [target for target in subscription.targets(event) if target.key not in there]
        session.put_all(list(deliveries(event, name, missing)))


def _targets(name: str, subscription: Subscription, event: Event) -> Sequence[Target]:
    """The targets; one plugin's failure must not hold up every event."""
    try:
        return subscription.targets(event)
    except Exception:
        log.exception("targets_failed", subscription=name, event_id=event.id)
        return [Target(EVERY)]
