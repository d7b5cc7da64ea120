"""The relay: turns new events into one delivery per interested target."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from treenail.clock import utcnow
from treenail.contributions import Event, Subscription
from treenail.db import system_session
from treenail.deliveries.models import EVERY, DeliveryRow
from treenail.events import OutboxEvent

BATCH = 200
log = structlog.get_logger("treenail.deliveries")


def relay(subscriptions: Mapping[str, Subscription]) -> int:
    """Fan out a batch of new events in one transaction; returns how many there were.

    Killed before the commit, it has done nothing and the events are still new.
    """
    with system_session("relay", read_only=True) as session:
        if not has_news(session):
            return 0
    with system_session("relay") as session:
        events = session.scalars(
            select(OutboxEvent)
            .where(OutboxEvent.relayed_at.is_(None))
            .order_by(OutboxEvent.id)
            .limit(BATCH)
            .with_for_update(skip_locked=True)
        ).all()
        for row in events:
            session.add_all(_fan_out(row.event(), subscriptions))
            row.relayed_at = utcnow()
        return len(events)


def has_news(session: Session) -> bool:
    """Whether any event waits to be relayed."""
    return (
        session.scalar(select(OutboxEvent.id).where(OutboxEvent.relayed_at.is_(None)).limit(1))
        is not None
    )


def _fan_out(event: Event, subscriptions: Mapping[str, Subscription]) -> Iterator[DeliveryRow]:
    for name, subscription in subscriptions.items():
        if any(fnmatchcase(event.type, pattern) for pattern in subscription.events):
            for key in _targets(name, subscription, event):
                yield DeliveryRow(event_id=event.id, subscription=name, target=key)


def spread(event: Event, name: str, subscription: Subscription) -> None:
    """Make the deliveries that fan-out could not, because `targets` raised then."""
    with system_session("fan out") as session:
        own = (DeliveryRow.event_id == event.id, DeliveryRow.subscription == name)
        there = set(session.scalars(select(DeliveryRow.target).where(*own)))
        for key in {target.key for target in subscription.targets(event)} - there:
            session.add(DeliveryRow(event_id=event.id, subscription=name, target=key))


def _targets(name: str, subscription: Subscription, event: Event) -> list[str]:
    """The keys of the targets; one plugin's failure must not hold up every event."""
    try:
        return list(dict.fromkeys(target.key for target in subscription.targets(event)))
    except Exception:
        log.exception("targets_failed", subscription=name, event_id=event.id)
        return [EVERY]
