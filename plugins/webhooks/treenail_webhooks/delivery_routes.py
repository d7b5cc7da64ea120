"""``/webhooks/deliveries`` and ``/webhooks/dead-letters``."""

from typing import Any

from flask import Blueprint
from treenail.db import session
from treenail.deliveries import DeliveryRow
from treenail.web import Page, PageRequest, endpoint, paginate

from treenail_webhooks import deliveries
from treenail_webhooks.routes import MANAGE, SEND
from treenail_webhooks.schemas import DeadQuery, DeliveryQuery, DeliverySchema, WholeDelivery

blueprint = Blueprint("webhooks_deliveries", __name__)
PATH = "/webhooks/deliveries/<id:delivery_id>"


@blueprint.get("/webhooks/deliveries")
@endpoint(MANAGE, query=DeliveryQuery, answers=DeliverySchema, paged=True)
def list_deliveries(page: PageRequest, query: dict[str, Any]) -> Page[dict[str, Any]]:
    """What was told, or is to be, the newest first."""
    return _page(page, query)


@blueprint.get(PATH)
@endpoint(MANAGE, answers=WholeDelivery)
def show_delivery(delivery_id: str) -> dict[str, Any]:
    """One delivery with its event and every request."""
    return deliveries.show(session(), delivery_id)


@blueprint.post(f"{PATH}/redeliver")
@endpoint(SEND, answers=DeliverySchema, status=202)
def redeliver(delivery_id: str) -> dict[str, Any]:
    """Try again, now."""
    return deliveries.redeliver(session(), delivery_id)


@blueprint.get("/webhooks/dead-letters")
@endpoint(MANAGE, query=DeadQuery, answers=DeliverySchema, paged=True)
def list_dead_letters(page: PageRequest, query: dict[str, Any]) -> Page[dict[str, Any]]:
    """What is not tried any more."""
    return _page(page, query | {"status": "dead"})


def _page(page: PageRequest, query: dict[str, Any]) -> Page[dict[str, Any]]:
    found = paginate(session(), deliveries.listed(session(), query), DeliveryRow.id, page)
    return Page([deliveries.shown(*row) for row in found.items], found.next_cursor)
