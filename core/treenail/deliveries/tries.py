"""Tries: a handler is run, and what comes of it is an outcome."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic

import structlog
from flask import current_app

from treenail import trace
from treenail.clock import utcnow
from treenail.contributions import Delivery, Subscription
from treenail.deliveries import relay
from treenail.deliveries.claims import Claim, Outcome
from treenail.deliveries.models import DEAD, DONE, EVERY, PENDING
from treenail.deliveries.outcomes import Abandon, RetryAfter

log = structlog.get_logger("treenail.deliveries")


def attempt(claims: Sequence[Claim], subscription: Subscription) -> list[Outcome]:
    """Try claims of one target: together where they may be, else one after the other."""
    if len(claims) > 1 and _together(claims, subscription):
        return [Outcome(claim, DONE, utcnow()) for claim in claims]
    return [_alone(claim, subscription) for claim in claims]


def failed(claim: Claim, error: str, after: float = 0) -> Outcome:
    """A try that came to nothing: due again by the schedule, not before ``after`` s, or dead."""
    policy = claim.policy
    if claim.failures >= len(policy.schedule):
        return Outcome(claim, DEAD, utcnow(), error)
    planned = policy.schedule[claim.failures]
    planned *= 1 + random.uniform(-policy.jitter, policy.jitter)  # noqa: S311  not a secret
    return Outcome(claim, PENDING, utcnow() + timedelta(seconds=max(planned, after)), error)


def _together(claims: Sequence[Claim], subscription: Subscription) -> bool:
    if subscription.batch_handler is None:
        return False
    cause = trace.Trace(None, None, claims[0].event.tenant_id)
    with _context(cause):
        try:
            subscription.batch_handler([_delivery(claim) for claim in claims])
        except Exception as error:  # noqa: BLE001  which of them it was, trying each will tell
            log.info("batch_failed", subscription=claims[0].subscription, error=str(error))
            return False
    return True


def _alone(claim: Claim, subscription: Subscription) -> Outcome:
    event, claim.begun = claim.event, monotonic()
    with _context(trace.Trace(event.request_id, event.actor_id, event.tenant_id)):
        try:
            if claim.target == EVERY:
                relay.spread(event, claim.subscription, subscription)
            else:
                subscription.handler(_delivery(claim))
        except Abandon as error:
            return Outcome(claim, DEAD, utcnow(), str(error) or "abandoned")
        except Exception as error:  # noqa: BLE001  whatever a handler raises is its outcome
            after = error.seconds if isinstance(error, RetryAfter) else 0
            return failed(claim, f"{type(error).__name__}: {error}", after)
    return Outcome(claim, DONE, utcnow())


def _delivery(claim: Claim) -> Delivery:
    return Delivery(claim.id, claim.event, claim.target, claim.attempt)


@contextmanager
def _context(cause: trace.Trace) -> Iterator[None]:
    """A context of its own: what one handler binds or leaves open is not the next one's."""
    with trace.tracing(cause), current_app.app_context():
        yield
