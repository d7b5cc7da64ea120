"""Events as CloudEvents 1.0 in structured mode: everything stands in the body, so is signed."""

from typing import Any

import orjson
from treenail import platform
from treenail.clock import rfc3339
from treenail.contributions import Event

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"


def body(event: Event) -> bytes:
    """The event as the receiver gets it; the same bytes at every try."""
    return orjson.dumps(document(event))


def document(event: Event) -> dict[str, Any]:
    """The CloudEvent; ``tenantid``, ``actorid``, ``requestid``, ``dataversion`` are extensions."""
    kind = platform.current().event_types.get(event.type)
    found = {
        "specversion": "1.0",
        "id": event.id,
        "source": f"{platform.current().settings.public_url.rstrip('/')}/tenants/{event.tenant_id}",
        "type": event.type,
        "subject": event.subject,
        "time": rfc3339(event.occurred_at),
        "datacontenttype": "application/json",
        "tenantid": event.tenant_id,
        "actorid": event.actor_id,
        "requestid": event.request_id,
        "dataversion": kind.version if kind else None,
        "data": event.data,
    }
    # An attribute without a value is left out (CloudEvents 1.0, section 3; JSON format, 2.2).
    return {name: value for name, value in found.items() if value is not None}
