"""``/webhooks/endpoints``."""

from typing import Any

from flask import Blueprint
from treenail.db import session
from treenail.web import (
    Page,
    PageRequest,
    endpoint,
    fresh,
    limited,
    paginate,
    permission,
    principal,
)

from treenail_webhooks import endpoints, replay
from treenail_webhooks.models import Endpoint
from treenail_webhooks.schemas import (
    EndpointChange,
    EndpointSchema,
    EndpointWithSecret,
    NewEndpoint,
    Queued,
    Replayed,
    ReplayOrder,
)

blueprint = Blueprint("webhooks", __name__)
MANAGE = permission("webhook:manage")
SEND = limited(MANAGE, "60/minute")
PATH = "/webhooks/endpoints/<id:endpoint_id>"


@blueprint.get("/webhooks/endpoints")
@endpoint(MANAGE, answers=EndpointSchema, paged=True)
def list_endpoints(page: PageRequest) -> Page[Endpoint]:
    """Where the tenant's events are told, the newest first."""
    return paginate(session(), endpoints.listed(), Endpoint.id, page)


@blueprint.post("/webhooks/endpoints")
@endpoint(MANAGE, body=NewEndpoint, answers=EndpointWithSecret, status=201)
def create_endpoint(body: dict[str, Any]) -> dict[str, Any]:
    """Make an endpoint; its secret is shown this once."""
    return _with_secret(endpoints.create(session(), principal(), body))


@blueprint.get(PATH)
@endpoint(MANAGE, answers=EndpointSchema)
def show_endpoint(endpoint_id: str) -> Endpoint:
    """One endpoint."""
    return endpoints.find(session(), endpoint_id)


@blueprint.patch(PATH)
@endpoint(MANAGE, body=EndpointChange, answers=EndpointSchema)
def change_endpoint(endpoint_id: str, body: dict[str, Any]) -> Endpoint:
    """Change an endpoint, or switch it off and on."""
    return endpoints.change(session(), endpoint_id, body)


@blueprint.delete(PATH)
@endpoint(MANAGE)
def delete_endpoint(endpoint_id: str) -> None:
    """Remove an endpoint with its deliveries."""
    endpoints.delete(session(), endpoint_id)


@blueprint.post(f"{PATH}/rotate-secret")
@endpoint(fresh(MANAGE), answers=EndpointWithSecret)
def rotate_secret(endpoint_id: str) -> dict[str, Any]:
    """A new secret; the old one is valid for 24 hours more."""
    return _with_secret(endpoints.rotate(session(), endpoint_id))


@blueprint.post(f"{PATH}/test")
@endpoint(SEND, answers=Queued, status=202)
def test_endpoint(endpoint_id: str) -> dict[str, Any]:
    """Send ``webhook.tested`` there, whatever its patterns are."""
    return {"event_id": endpoints.test(session(), endpoint_id)}


@blueprint.post(f"{PATH}/replay")
@endpoint(SEND, body=ReplayOrder, answers=Replayed, status=202)
def replay_events(endpoint_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Tell it again what happened since a moment."""
    return replay.replay(session(), endpoint_id, body)


def _with_secret(found: Endpoint) -> dict[str, Any]:
    shown = {name: getattr(found, name) for name in EndpointSchema._declared_fields}
    secret = found.secret_bytes.decode()
    return shown | {"secret": secret, "old_secret_until": found.old_secret_until}
