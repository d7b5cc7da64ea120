"""The engine: claims due deliveries under a lease, tries them, records what came of it.

At least once: a worker killed in the middle of a try leaves a lease that runs out, and the
row is claimed again. Every result is fenced by the lease's owner, so that a worker that was
merely slow can't overwrite the outcome of the one that took over.
"""

import random
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from flask import current_app
from sqlalchemy import ColumnElement, and_, select, update
from sqlalchemy.orm import Session

from treenail import platform, trace
from treenail.clock import utcnow
from treenail.contributions import Delivery, Event, Policy, Subscription, Target
from treenail.db import system_session
from treenail.deliveries import relay
from treenail.deliveries.models import DEAD, DONE, EVERY, PENDING, RUNNING, DeliveryRow, is_open
from treenail.deliveries.outcomes import Abandon, RetryAfter
from treenail.events import OutboxEvent

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


@dataclass(frozen=True)
class Outcome:
    """What came of a try, and when the delivery is due again if it is not over."""

    claim: Claim
    status: str
    due: datetime
    error: str | None = None


def drain() -> int:
    """Relay and deliver until nothing is due; returns the number of tries made.

    Safe to call from any number of workers at once.
    """
    subscriptions = platform.current().subscriptions
    tries = 0
    relay.relay(subscriptions)
    while True:
        claim = _step(subscriptions, None)
        while claim is not None:
            outcome = _try(claim, subscriptions[claim.subscription])
            tries += 1
            claim = _step(subscriptions, outcome)
        if not relay.relay(subscriptions):  # a further batch, or what the handlers emitted
            return tries


def next_due() -> datetime | None:
    """When the next delivery falls due; None while nothing waits."""
    with system_session("sweep", read_only=True) as session:
        if relay.has_news(session):
            return utcnow()
        return session.scalar(
            select(DeliveryRow.due_at)
            .where(is_open(), DeliveryRow.subscription.in_(list(platform.current().subscriptions)))
            .order_by(DeliveryRow.due_at)
            .limit(1)
        )


def _step(subscriptions: Mapping[str, Subscription], outcome: Outcome | None) -> Claim | None:
    """Record what came of one try and claim the next, in one transaction."""
    with system_session("deliver") as session:
        if outcome is not None:
            _record(session, outcome)
        return _claim(session, subscriptions)


def _claim(session: Session, subscriptions: Mapping[str, Subscription]) -> Claim | None:
    """One delivery: of a batch, the leases of the last would run out before their turn."""
    first_due = (
        select(DeliveryRow, OutboxEvent)
        .join(OutboxEvent, OutboxEvent.id == DeliveryRow.event_id)
        .where(_is_due(subscriptions))
        .order_by(DeliveryRow.due_at, DeliveryRow.id)
        .limit(1)
        .with_for_update(skip_locked=True, of=DeliveryRow)
    )
    while found := session.execute(first_due).one_or_none():
        row, event = found[0], found[1].event()
        policy = _policy(subscriptions[row.subscription], event, row.target)
        if row.status == RUNNING and row.attempts > len(policy.schedule):
            row.status, row.finished_at = DEAD, utcnow()
            row.last_error = "its worker died, or took longer than the lease, in every try"
            continue
        row.status, row.lease_owner = RUNNING, secrets.token_hex(8)
        row.due_at = utcnow() + timedelta(seconds=policy.lease)
        row.attempts += 1
        owner, target = row.lease_owner, row.target
        return Claim(row.id, owner, row.subscription, target, row.attempts, event)
    return None


def _is_due(subscriptions: Mapping[str, Subscription]) -> ColumnElement[bool]:
    """Open, its turn come, and of a plugin that is there: the others' stay until it is back."""
    present = DeliveryRow.subscription.in_(list(subscriptions))
    return and_(is_open(), DeliveryRow.due_at <= utcnow(), present)


def _try(claim: Claim, subscription: Subscription) -> Outcome:
    event = claim.event
    cause = trace.Trace(event.request_id, event.actor_id, event.tenant_id)
    # A context of its own: what one handler binds or leaves open is not the next one's.
    with trace.tracing(cause), current_app.app_context():
        try:
            if claim.target == EVERY:
                relay.spread(event, claim.subscription, subscription)
            else:
                subscription.handler(Delivery(claim.id, event, claim.target, claim.attempt))
        except Abandon as error:
            return Outcome(claim, DEAD, utcnow(), str(error) or "abandoned")
        except Exception as error:  # noqa: BLE001  whatever a handler raises is its outcome
            after = error.seconds if isinstance(error, RetryAfter) else None
            return _failed(claim, subscription, after, f"{type(error).__name__}: {error}")
    return Outcome(claim, DONE, utcnow())


def _failed(claim: Claim, subscription: Subscription, after: float | None, error: str) -> Outcome:
    policy = _policy(subscription, claim.event, claim.target)
    if claim.attempt > len(policy.schedule):
        return Outcome(claim, DEAD, utcnow(), error)
    planned = policy.schedule[claim.attempt - 1]
    planned *= 1 + random.uniform(-policy.jitter, policy.jitter)  # noqa: S311  not a secret
    due = utcnow() + timedelta(seconds=max(planned, after or 0))
    return Outcome(claim, PENDING, due, error)


def _record(session: Session, outcome: Outcome) -> None:
    claim, error = outcome.claim, outcome.error
    if error:
        # PostgreSQL's text holds no NUL, and an unrecorded failure would be tried for ever.
        error = error.replace("\0", "")[:MAX_ERROR]
        log.warning(
            "delivery_failed",
            subscription=claim.subscription,
            event_id=claim.event.id,
            attempt=claim.attempt,
            status=outcome.status,
            error=error,
        )
    session.execute(
        update(DeliveryRow)
        .where(DeliveryRow.id == claim.id, DeliveryRow.lease_owner == claim.owner)
        .values(
            status=outcome.status,
            due_at=outcome.due,
            lease_owner=None,
            last_error=error,
            finished_at=None if outcome.status == PENDING else utcnow(),
        )
        .execution_options(synchronize_session=False)
    )


def _policy(subscription: Subscription, event: Event, target: str) -> Policy:
    try:
        found = (t for t in subscription.targets(event) if t.key == target)
        return next(found, Target(target)).policy
    except Exception:
        log.exception("targets_failed", event_id=event.id)
        return Policy()
