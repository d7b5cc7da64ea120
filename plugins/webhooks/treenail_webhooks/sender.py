"""One try: the request to an endpoint, and what its answer means."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from time import monotonic

import structlog
from flask import Flask, current_app
from treenail.clock import utcnow
from treenail.contributions import Delivery
from treenail.db import TenantSession, tenant_session
from treenail.deliveries import Abandon, RetryAfter
from treenail.events import emit

from treenail_webhooks import cloudevents, settings, signing, urls
from treenail_webhooks.addresses import Guard
from treenail_webhooks.client import Client, Reply, Unreached
from treenail_webhooks.models import FAILING, GONE, Attempt, Endpoint, document

EXTENSION = "treenail.webhooks"
LONGEST_WAIT = 3600.0
"""Seconds that a receiver's ``Retry-After`` can put off the next try."""
USER_AGENT = "Treenail-Webhooks/0.1"
log = structlog.get_logger("treenail.webhooks")


@dataclass(frozen=True)
class Outgoing:
    """A request that is about to be made, on record already."""

    attempt_id: str
    to: urls.Destination
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Outcome:
    """What came of a request: an answer, or a word for its absence."""

    reply: Reply | None
    error: str | None
    started_at: datetime
    seconds: float

    @property
    def succeeded(self) -> bool:
        """Any 2xx; a redirect is not followed, and so a failure."""
        return self.reply is not None and 200 <= self.reply.status < 300


@dataclass(frozen=True)
class Tools:
    """What requests are made with; one for the process."""

    guard: Guard
    client: Client

    def close(self) -> None:
        """Close connections, await no lookup."""
        self.client.close()
        self.guard.close()


def tools() -> Tools:
    """The present application's, made when they are first needed: after any fork."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    found: Tools | None = app.extensions.get(EXTENSION)
    if found is None:
        own = settings.current()
        guard = Guard(own.allow_cidrs, look_up)
        found = app.extensions[EXTENSION] = Tools(guard, Client(guard, own.deadline_seconds))
        app.extensions.setdefault("treenail.closing", []).append(found.close)
    return found


def look_up(host: str, port: int) -> Sequence[str]:
    """The addresses of a name, as the machine resolves it; raises `OSError`."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def deliver(delivery: Delivery) -> None:
    """Bring an event to an endpoint; raises what the engine takes for its failure."""
    tenant_id = delivery.event.tenant_id or ""
    with tenant_session(tenant_id) as session:
        outgoing = _begin(session, delivery)
    outcome = _send(outgoing)
    with tenant_session(tenant_id) as session:
        _finish(session, outgoing.attempt_id, delivery.target, outcome)
    _judge(outcome)


def _begin(session: TenantSession, delivery: Delivery) -> Outgoing:
    """Write the attempt, before anything goes out; raises `Abandon` where nothing may."""
    endpoint = session.get(Endpoint, delivery.target)
    if endpoint is None:
        raise Abandon("the endpoint is gone")
    if not endpoint.enabled:
        raise Abandon("the endpoint is disabled")
    attempt = Attempt(endpoint_id=endpoint.id, delivery_id=delivery.id, number=delivery.attempt)
    session.put(attempt)
    body = cloudevents.body(delivery.event)
    signed = signing.headers(endpoint.keys, delivery.event.id, int(utcnow().timestamp()), body)
    own = {"Content-Type": cloudevents.CONTENT_TYPE, **signed}
    headers = {"User-Agent": USER_AGENT, **endpoint.headers, **own}
    return Outgoing(attempt.id, urls.parse(endpoint.url), headers, body)


def _send(outgoing: Outgoing) -> Outcome:
    started_at, began = utcnow(), monotonic()
    reply, error = None, None
    try:
        reply = tools().client.post(outgoing.to, outgoing.headers, outgoing.body)
    except Unreached as problem:
        error = problem.reason
    return Outcome(reply, error, started_at, monotonic() - began)


def _finish(session: TenantSession, attempt_id: str, endpoint_id: str, outcome: Outcome) -> None:
    """Complete the attempt's row, and remember how the endpoint does."""
    attempt = session.get(Attempt, attempt_id)
    endpoint = session.get(Endpoint, endpoint_id)
    if attempt is None or endpoint is None:
        return  # both went with the endpoint, while the request was on its way
    attempt.finished_at, attempt.error = utcnow(), outcome.error
    attempt.duration_ms = round(outcome.seconds * 1000)
    if outcome.reply is not None:
        attempt.status = outcome.reply.status
        if outcome.reply.head is not None:
            attempt.response_bytes = outcome.reply.head
    if outcome.succeeded:
        if endpoint.failing_since is not None:
            endpoint.failing_since = None
    else:
        _note_failure(session, endpoint, outcome)


def _note_failure(session: TenantSession, endpoint: Endpoint, outcome: Outcome) -> None:
    if endpoint.failing_since is None:
        endpoint.failing_since = outcome.started_at
    longest = timedelta(seconds=settings.current().disable_seconds)
    gone = outcome.reply is not None and outcome.reply.status == 410
    if endpoint.enabled and (gone or utcnow() - endpoint.failing_since >= longest):
        endpoint.disable(GONE if gone else FAILING, endpoint.failing_since)
        told = {**document(endpoint), "reason": endpoint.disabled_reason}
        emit(session, "webhook.disabled", told, subject=endpoint.id)
        log.warning("endpoint_disabled", endpoint=endpoint.id, reason=endpoint.disabled_reason)


def _judge(outcome: Outcome) -> None:
    """Say to the engine what the outcome means."""
    if outcome.succeeded:
        return
    if outcome.reply is None:
        raise Failed(outcome.error or "")
    if outcome.reply.status == 410:
        raise Abandon("answered 410: the endpoint is disabled")
    said = f"answered {outcome.reply.status}"
    after = wait_of(outcome.reply.retry_after)
    raise RetryAfter(after, said) if after else Failed(said)


class Failed(Exception):
    """The receiver doesn't have the event; it is tried again by the endpoint's schedule."""


def wait_of(retry_after: str | None) -> float | None:
    """The seconds that a ``Retry-After`` asks for (RFC 9110, 10.2.3), at most an hour."""
    if retry_after is None:
        return None
    if retry_after.strip().isascii() and retry_after.strip().isdigit():
        return min(float(retry_after), LONGEST_WAIT)
    try:
        moment = parsedate_to_datetime(retry_after)
        left = (moment - utcnow()).total_seconds()
    except (TypeError, ValueError, OverflowError):
        return None
    return min(left, LONGEST_WAIT) if left > 0 else None
