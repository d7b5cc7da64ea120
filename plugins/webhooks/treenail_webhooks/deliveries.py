"""The record of deliveries: the engine's rows as a tenant sees them, and its attempts.

The state lives in the engine's table alone; here it is read, and told to begin again.
"""

from typing import Any

from sqlalchemy import select
from treenail import deliveries as engine
from treenail.clock import utcnow
from treenail.db import TenantSession
from treenail.deliveries import DeliveryRow
from treenail.errors import Conflict, NotFound
from treenail.events import HINTED, OutboxEvent

from treenail_webhooks import cloudevents, endpoints
from treenail_webhooks.endpoints import SUBSCRIPTION
from treenail_webhooks.models import Attempt, Endpoint

PENDING, RUNNING, DONE, DEAD = "pending", "running", "done", "dead"
SHOWN = {PENDING: PENDING, RUNNING: RUNNING, DONE: "delivered", DEAD: DEAD}
KEPT = {shown: kept for kept, shown in SHOWN.items()}
INTERRUPTED = "interrupted"
"""Of a request whose worker was killed: nobody knows how far it got."""


def listed(session: TenantSession, query: dict[str, Any]) -> Any:
    """Select the tenant's deliveries, each with its event's type."""
    ids = list(session.scalars(select(Endpoint.id)))
    if "endpoint_id" in query:
        ids = [found for found in ids if found == query["endpoint_id"]]
    found = (
        select(DeliveryRow, OutboxEvent)
        .join(OutboxEvent, OutboxEvent.id == DeliveryRow.event_id)
        .where(DeliveryRow.subscription == SUBSCRIPTION, DeliveryRow.target.in_(ids))
    )
    if "event_id" in query:
        found = found.where(DeliveryRow.event_id == query["event_id"])
    if "event_type" in query:
        found = found.where(OutboxEvent.type == query["event_type"])
    if "status" in query:
        found = found.where(DeliveryRow.status == KEPT[query["status"]])
    return found


def shown(row: DeliveryRow, event: OutboxEvent) -> dict[str, Any]:
    """A delivery as its tenant sees it."""
    return {
        "id": row.id,
        "endpoint_id": row.target,
        "event_id": row.event_id,
        "event_type": event.type,
        "status": SHOWN[row.status],
        "attempt_count": row.attempts,
        "last_error": row.last_error,
        "created_at": row.created_at,
        "next_attempt_at": row.due_at if row.status == PENDING else None,
        "finished_at": row.finished_at,
    }


def show(session: TenantSession, delivery_id: str) -> dict[str, Any]:
    """A delivery with its event and every request made for it; raises `NotFound`."""
    row, event = _find(session, delivery_id)
    made = select(Attempt).where(Attempt.delivery_id == row.id).order_by(Attempt.id)
    attempts = [_attempt(each, row) for each in session.scalars(made)]
    whole = {"event": cloudevents.document(event.event()), "attempts": attempts}
    return shown(row, event) | whole


def redeliver(session: TenantSession, delivery_id: str) -> dict[str, Any]:
    """Try again now: what waits for its retry is due, what is over becomes a new delivery.

    Returns the delivery that is tried. Raises `NotFound`, and `Conflict` while one of the
    event is being tried or the endpoint is disabled.
    """
    row, event = _find(session, delivery_id, lock=True)
    endpoints.require_enabled(endpoints.find(session, row.target, lock=True))
    if row.status == PENDING:
        row.due_at = utcnow()
        session.info[HINTED] = True
        return shown(row, event)
    if not engine.redeliver(session, delivery_id):
        raise Conflict("The event is on its way there already.", code="delivery_running")
    newest = listed(session, {"event_id": row.event_id, "endpoint_id": row.target})
    return shown(*session.execute(newest.order_by(DeliveryRow.replay.desc()).limit(1)).one())


def _find(
    session: TenantSession, delivery_id: str, *, lock: bool = False
) -> tuple[DeliveryRow, OutboxEvent]:
    one = listed(session, {}).where(DeliveryRow.id == delivery_id)
    one = one.with_for_update(of=DeliveryRow) if lock else one
    found = session.execute(one).one_or_none()
    if found is None:
        raise NotFound()
    return found[0], found[1]


def _attempt(attempt: Attempt, row: DeliveryRow) -> dict[str, Any]:
    over = row.status != RUNNING or attempt.number < row.attempts
    interrupted = attempt.finished_at is None and over
    return {
        "id": attempt.id,
        "number": attempt.number,
        "started_at": attempt.started_at,
        "finished_at": attempt.finished_at,
        "duration_ms": attempt.duration_ms,
        "status": attempt.status,
        "error": INTERRUPTED if interrupted else attempt.error,
        "response_head": attempt.response_head,
    }
