"""Making, changing and removing endpoints, and their secrets."""

from datetime import timedelta
from typing import Any

import orjson
from sqlalchemy import Select, func, select
from sqlalchemy import delete as delete_rows
from treenail.clock import utcnow
from treenail.db import TenantSession
from treenail.deliveries import DeliveryRow
from treenail.errors import Conflict, Invalid, NotFound
from treenail.events import emit
from treenail.principal import Principal

from treenail_webhooks import signing, urls
from treenail_webhooks.addresses import Refused, Unresolved
from treenail_webhooks.models import BY_HAND, Endpoint, document
from treenail_webhooks.sender import tools
from treenail_webhooks.targets import TESTED

MOST = 100
"""So many endpoints a tenant may have: every event looks at all of them."""
OVERLAP = timedelta(hours=24)
SUBSCRIPTION = "webhooks.deliver"
LOOKUP_SECONDS = 1.0
"""How long saving waits for a name: on SQLite nobody else writes meanwhile."""


def listed() -> Select[Endpoint]:
    """Select the tenant's endpoints."""
    return select(Endpoint)


def find(session: TenantSession, endpoint_id: str, *, lock: bool = False) -> Endpoint:
    """One of the tenant's; raises `NotFound`."""
    found = session.get(Endpoint, endpoint_id, with_for_update=lock or None)
    if found is None:
        raise NotFound()
    return found


def create(session: TenantSession, by: Principal, data: dict[str, Any]) -> Endpoint:
    """Make an endpoint; its ``secret`` is shown by the answer to this and never again.

    Raises `Invalid` for an address that may not be connected to, `Conflict` for one too many.
    """
    if (session.scalar(select(func.count(Endpoint.id))) or 0) >= MOST:
        raise Conflict(f"A tenant has at most {MOST} endpoints.", code="too_many_endpoints")
    _check_place(data["url"])
    headers = orjson.dumps(data.pop("headers"))
    made = Endpoint(tenant_id=session.tenant_id, created_by=by.user_id, **data)
    made.headers_bytes, made.secret_bytes = headers, signing.new_secret().encode()
    session.add(made)
    session.flush()
    _tell(session, "webhook.created", made)
    return made


def change(session: TenantSession, endpoint_id: str, changes: dict[str, Any]) -> Endpoint:
    """Change what is named; ``enabled`` switches it off and on.

    Raises `NotFound`, and `Invalid` for an address that may not be connected to.
    """
    found = find(session, endpoint_id, lock=True)
    if "url" in changes:
        _check_place(changes["url"])
    if "headers" in changes:
        found.headers_bytes = orjson.dumps(changes.pop("headers"))
    if "enabled" in changes:
        _switch(found, on=changes.pop("enabled"))
    for name, value in changes.items():
        setattr(found, name, value)
    found.updated_at = utcnow()
    _tell(session, "webhook.updated", found)
    return found


def delete(session: TenantSession, endpoint_id: str) -> None:
    """Remove an endpoint, with what was on its way there and every attempt."""
    found = find(session, endpoint_id, lock=True)
    _tell(session, "webhook.deleted", found)
    session.delete(found)
    session.flush()
    to_it = (DeliveryRow.subscription == SUBSCRIPTION) & (DeliveryRow.target == endpoint_id)
    session.execute(delete_rows(DeliveryRow).where(to_it))


def rotate(session: TenantSession, endpoint_id: str) -> Endpoint:
    """Give a new secret; the one before is valid for 24 hours more, any older no longer."""
    found = find(session, endpoint_id, lock=True)
    found.old_secret_bytes = found.secret_bytes
    found.old_secret_until = utcnow() + OVERLAP
    found.secret_bytes = signing.new_secret().encode()
    found.updated_at = utcnow()
    _tell(session, "webhook.updated", found)
    return found


def test(session: TenantSession, endpoint_id: str) -> str:
    """Send an event that says nothing, there alone; returns its id.

    Raises `Conflict` while the endpoint is disabled.
    """
    found = find(session, endpoint_id)
    require_enabled(found)
    return emit(session, TESTED, document(found), subject=found.id)


def require_enabled(endpoint: Endpoint) -> None:
    """Raise `Conflict` for an endpoint that nothing is sent to."""
    if not endpoint.enabled:
        raise Conflict("The endpoint is disabled; enable it first.", code="endpoint_disabled")


def _switch(endpoint: Endpoint, *, on: bool) -> None:
    if on:
        endpoint.disabled_at = endpoint.disabled_reason = endpoint.failing_since = None
    else:
        endpoint.disable(BY_HAND, utcnow())


def _check_place(url: str) -> None:
    """Refuse what would be refused at every try; a name may still get its address later."""
    to = urls.parse(url)
    try:
        tools().guard.addresses(to.host, to.port, LOOKUP_SECONDS)
    except Refused as refused:
        why = f"{refused} is private or reserved: the operator would have to allow it."
        raise Invalid({"url": [why]}) from None
    except Unresolved:
        return


def _tell(session: TenantSession, event: str, endpoint: Endpoint) -> None:
    emit(session, event, document(endpoint), subject=endpoint.id)
