"""Replay: what happened since some moment, told to one endpoint again."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, or_, select
from treenail import platform
from treenail.db import TenantSession
from treenail.deliveries import DeliveryRow
from treenail.events import OutboxEvent

from treenail_webhooks import deliveries, endpoints
from treenail_webhooks.deliveries import DEAD, DONE
from treenail_webhooks.endpoints import SUBSCRIPTION
from treenail_webhooks.models import Endpoint
from treenail_webhooks.targets import TESTED, is_offered, matches

BATCH = 5000
"""So many events one replay queues: more would keep other writers waiting."""


def replay(session: TenantSession, endpoint_id: str, order: dict[str, Any]) -> dict[str, Any]:
    """Queue what the endpoint wants of the events since then, the oldest first.

    ``status`` chooses among them: ``dead``, ``delivered``, or ``missed`` for what it never
    got. What is on its way stays so. Raises `NotFound`, and `Conflict` while the endpoint is
    disabled.
    """
    endpoint = endpoints.find(session, endpoint_id, lock=True)
    endpoints.require_enabled(endpoint)
    found = session.execute(_chosen(session, endpoint, order).limit(BATCH + 1)).all()
    for event_id, _, row in found[:BATCH]:
        if row is None:
            row = DeliveryRow(event_id=event_id, subscription=SUBSCRIPTION, target=endpoint_id)
            session.add(row)
        deliveries.begin_again(session, row)
    next_since = found[BATCH][1] if len(found) > BATCH else None
    _take_back_offer(endpoint, order, next_since)
    return {"queued": min(len(found), BATCH), "next_since": next_since}


def _chosen(
    session: TenantSession, endpoint: Endpoint, order: dict[str, Any]
) -> Select[Any, Any, Any]:
    """Events and, where there is one, each one's delivery to the endpoint.

    Only what has been fanned out: the rest is still to come by itself.
    """
    its_own = and_(
        DeliveryRow.event_id == OutboxEvent.id,
        DeliveryRow.subscription == SUBSCRIPTION,
        DeliveryRow.target == endpoint.id,
    )
    found = (
        select(OutboxEvent.id, OutboxEvent.occurred_at, DeliveryRow)
        .outerjoin(DeliveryRow, its_own)
        .where(OutboxEvent.tenant_id == session.tenant_id)
        .where(OutboxEvent.relayed_at.is_not(None), OutboxEvent.occurred_at >= order["since"])
        .where(OutboxEvent.type.in_(_types(endpoint.events, order.get("types"))))
        .where(_in_state(order.get("status")))
        .order_by(OutboxEvent.occurred_at, OutboxEvent.id)
    )
    return found.where(OutboxEvent.occurred_at < order["until"]) if "until" in order else found


def _types(patterns: Sequence[str], wanted: Sequence[str] | None) -> list[str]:
    """The known types that the endpoint is told, and that are asked for."""
    names = [n for n in platform.current().event_types if is_offered(n) and n != TESTED]
    told = [name for name in names if matches(name, patterns)]
    return told if wanted is None else [name for name in told if matches(name, wanted)]


def _in_state(status: str | None) -> ColumnElement[bool]:
    never = DeliveryRow.id.is_(None)
    if status == "missed":
        return or_(never, DeliveryRow.status == DEAD)
    if status is None:
        return or_(never, DeliveryRow.status.in_([DONE, DEAD]))
    return DeliveryRow.status == deliveries.KEPT[status]


def _take_back_offer(
    endpoint: Endpoint, order: dict[str, Any], next_since: datetime | None
) -> None:
    """What was held is offered until all of it has been queued."""
    whole = order.get("status") in (None, "missed") and not order.keys() & {"types", "until"}
    if whole and endpoint.held_since is not None:
        held_since = endpoint.held_since.replace(
            microsecond=endpoint.held_since.microsecond // 1000 * 1000  # as it was told
        )
        if order["since"] <= held_since:
            endpoint.held_since = next_since
