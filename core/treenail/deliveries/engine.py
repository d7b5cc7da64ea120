"""The engine: claims due deliveries under a lease, tries them, records what came of it.

At least once: a worker killed in the middle of a try leaves a lease that runs out, and the
row is claimed again. Every result is fenced by the lease's owner, so that a worker that was
merely slow can't overwrite the outcome of the one that took over.
"""

import random
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import select, update

from treenail import platform, trace
from treenail.clock import utcnow
from treenail.contributions import Delivery, Event, Policy, Subscription, Target
from treenail.db import system_session
from treenail.deliveries import relay
from treenail.deliveries.models import DEAD, DONE, PENDING, RUNNING, DeliveryRow
from treenail.deliveries.outcomes import Abandon, RetryAfter
from treenail.events import OutboxEvent

BATCH = 20
MAX_ERROR = 2000
log = structlog.get_logger("treenail.deliveries")


@dataclass(frozen=True)
class Claim:
    """A delivery this worker holds the lease of."""

    id: str
    owner: str
    subscription: str
    target: str
    attempt: int
    event: Event


def drain() -> int:
    """Relay and deliver until nothing is due; returns the number of tries made.

    Safe to call from any number of workers at once.
    """
    subscriptions = platform.current().subscriptions
    while relay.relay(subscriptions):
        pass
    tries = 0
    while claims := _claim(subscriptions):
        for claim in claims:
            _try(claim, subscriptions[claim.subscription])
            tries += 1
        while relay.relay(subscriptions):  # what the handlers emitted
            pass
    return tries


def next_due() -> datetime | None:
    """When the next delivery falls due; None while nothing waits."""
    with system_session("sweep", read_only=True) as session:
        if relay.has_news(session):
            return utcnow()
        return session.scalar(
            select(DeliveryRow.due_at)
            .where(
                DeliveryRow.status.in_([PENDING, RUNNING]),
                DeliveryRow.subscription.in_(list(platform.current().subscriptions)),
            )
            .order_by(DeliveryRow.due_at)
            .limit(1)
        )


def _claim(subscriptions: Mapping[str, Subscription]) -> Sequence[Claim]:
    owner = secrets.token_hex(8)
    with system_session("claim") as session:
        rows = session.execute(
            select(DeliveryRow, OutboxEvent)
            .join(OutboxEvent, OutboxEvent.id == DeliveryRow.event_id)
            .where(
                DeliveryRow.status.in_([PENDING, RUNNING]),
                DeliveryRow.due_at <= utcnow(),
                # Those of a plugin that is switched off stay until it is back.
                DeliveryRow.subscription.in_(list(subscriptions)),
            )
            .order_by(DeliveryRow.due_at, DeliveryRow.id)
            .limit(BATCH)
            .with_for_update(skip_locked=True, of=DeliveryRow)
        ).all()
        claims = []
        for row, outbox in rows:
            event = outbox.event()
            lease = _policy(subscriptions[row.subscription], event, row.target).lease
            row.status, row.lease_owner = RUNNING, owner
            row.due_at = utcnow() + timedelta(seconds=lease)
            row.attempts += 1
            claims.append(
                Claim(row.id, owner, row.subscription, row.target, row.attempts, event)
            )
        return claims


def _try(claim: Claim, subscription: Subscription) -> None:
    event = claim.event
    cause = trace.Trace(event.request_id, event.actor_id, event.tenant_id)
    with trace.tracing(cause):
        try:
            subscription.handler(Delivery(claim.id, event, claim.target, claim.attempt))
        except Abandon as error:
            _record(claim, DEAD, None, str(error))
        except Exception as error:  # noqa: BLE001  whatever a handler raises is its outcome
            after = error.seconds if isinstance(error, RetryAfter) else None
            _retry(claim, subscription, after, f"{type(error).__name__}: {error}")
        else:
            _record(claim, DONE, None, None)


def _retry(claim: Claim, subscription: Subscription, after: float | None, error: str) -> None:
    policy = _policy(subscription, claim.event, claim.target)
    if claim.attempt > len(policy.schedule):
        return _record(claim, DEAD, None, error)
    planned = policy.schedule[claim.attempt - 1]
    planned *= 1 + random.uniform(-policy.jitter, policy.jitter)  # noqa: S311  not a secret
    due = utcnow() + timedelta(seconds=max(planned, after or 0))
    return _record(claim, PENDING, due, error)


def _record(claim: Claim, status: str, due: datetime | None, error: str | None) -> None:
    if error:
        log.warning(
            "delivery_failed",
            subscription=claim.subscription,
            event_id=claim.event.id,
            attempt=claim.attempt,
            status=status,
            error=error[:MAX_ERROR],
        )
    with system_session("record") as session:
        session.execute(
            update(DeliveryRow)
            .where(DeliveryRow.id == claim.id, DeliveryRow.lease_owner == claim.owner)
            .values(
                status=status,
                due_at=due or utcnow(),
                lease_owner=None,
                last_error=error and error[:MAX_ERROR],
                finished_at=None if status == PENDING else utcnow(),
            )
        )


def _policy(subscription: Subscription, event: Event, target: str) -> Policy:
    found = (t for t in subscription.targets(event) if t.key == target)
    return next(found, Target(target)).policy
