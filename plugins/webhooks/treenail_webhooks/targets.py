"""Which endpoints an event goes to, and how each wants to be tried."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from sqlalchemy import Select, select
from treenail import platform
from treenail.contributions import Event, Policy, Target
from treenail.db import Plan
from treenail.db.reads import TenantReads

from treenail_webhooks import settings
from treenail_webhooks.models import Endpoint

TESTED = "webhook.tested"
"""Goes to the endpoint it names, whatever that one's patterns are, and to no other."""
SPARE = 5.0
"""Seconds of a try's lease beyond its request's deadline, to write down what came of it."""


def targets(event: Event) -> Sequence[Target]:
    """One for each endpoint of the event's tenant that wants it."""
    if event.tenant_id is None or not is_offered(event.type):
        return ()
    plan = platform.current().keep(targets, lambda: Plan(_enabled))
    lease = settings.current().deadline_seconds + SPARE
    return [
        Target(row.id, Policy(tuple(row.schedule), lease=lease, fifo=row.fifo))
        for row in TenantReads(event.tenant_id).rows(plan)
        if wants(row.id, row.events, event)
    ]


def is_offered(name: str) -> bool:
    """Whether events of the type are for the outside."""
    kind = platform.current().event_types.get(name)
    return kind is None or not kind.internal


def wants(endpoint_id: str, patterns: Iterable[str], event: Event) -> bool:
    """Whether an event goes to an endpoint with these patterns."""
    if event.type == TESTED:
        return bool(event.data["endpointId"] == endpoint_id)
    return matches(event.type, patterns)


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a type is meant by any of the patterns."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _enabled() -> Select[Any]:
    found: Any = select(Endpoint.id, Endpoint.events, Endpoint.schedule, Endpoint.fifo).where(
        Endpoint.disabled_at.is_(None)
    )
    return found  # type: ignore[no-any-return]
