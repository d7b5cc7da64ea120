"""Replay: what happened since some moment, told to one endpoint again."""

from datetime import UTC, datetime
from typing import Any

from treenail import deliveries as engine
from treenail.contributions import Event
from treenail.db import TenantSession
from treenail.errors import Conflict

from treenail_webhooks import endpoints
from treenail_webhooks.deliveries import DEAD, DONE
from treenail_webhooks.endpoints import SUBSCRIPTION
from treenail_webhooks.models import Endpoint
from treenail_webhooks.targets import TESTED, matches

ENDED = {"missed": (None, DEAD), "dead": (DEAD,), "delivered": (DONE,)}
"""How the last delivery of an event ended, for what can be asked for; None: there was none."""

FOREVER = datetime.max.replace(tzinfo=UTC)


def replay(session: TenantSession, endpoint_id: str, order: dict[str, Any]) -> dict[str, Any]:
    """Queue what the endpoint wants of the events since then, the oldest first.

    ``status`` chooses among them: ``dead``, ``delivered``, or ``missed`` for what it never
    got. What is on its way stays so. Raises `NotFound`, and `Conflict` while the endpoint is
    disabled or for more events than the engine replays at once: nothing is queued then.
    """
    endpoint = endpoints.find(session, endpoint_id, lock=True)
    endpoints.require_enabled(endpoint)
    session.flush()

    def fits(event: Event, ended: str | None) -> bool:
        in_state = "status" not in order or ended in ENDED[order["status"]]
        asked = "types" not in order or matches(event.type, order["types"])
        # The engine goes by ids, which stay ahead for a while when a clock is set back.
        in_time = order["since"] <= event.occurred_at < order.get("until", FOREVER)
        return in_state and asked and in_time and event.type != TESTED

    try:
        queued = engine.replay(
            session,
            SUBSCRIPTION,
            endpoint_id,
            session.tenant_id,
            since=order["since"],
            until=order.get("until"),
            fits=fits,
        )
    except ValueError as error:
        detail = f"These are {error}: ask for less at a time, with until."
        raise Conflict(detail, code="too_many_events") from None
    _take_back_offer(endpoint, order)
    return {"queued": queued}


def _take_back_offer(endpoint: Endpoint, order: dict[str, Any]) -> None:
    """What was held is offered until all of it has been queued."""
    whole = order.get("status") in (None, "missed") and not order.keys() & {"types", "until"}
    if whole and endpoint.held_since is not None:
        held_since = endpoint.held_since.replace(
            microsecond=endpoint.held_since.microsecond // 1000 * 1000  # as it was told
        )
        if order["since"] <= held_since:
            endpoint.held_since = None
