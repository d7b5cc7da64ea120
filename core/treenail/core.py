"""The core's own features, contributed through the same joint as any plugin's."""

from collections.abc import Iterable, Sequence

from flask import Blueprint
from sqlalchemy import true

from treenail import idempotency, mail
from treenail.contributions import (
    EventType,
    Leftover,
    PeriodicTask,
    Purged,
    ResourceType,
    Rule,
    Subscription,
)
from treenail.deliveries import leftovers, pruning
from treenail.models import OWNER, Tenant
from treenail.periodic import PeriodicRun
from treenail.plugin import Plugin, hookimpl
from treenail.principal import Principal
from treenail.tenants import routes
from treenail.tenants.schemas import MemberEvent, TenantEvent
from treenail.web import platform_routes

SEES = frozenset({"tenant:read"})
KNOWS = SEES | {"member:read"}
RUNS = KNOWS | {"tenant:update", "member:update", "member:remove"}
EXAMPLE_ID = "01890a5d-ac96-774b-bcce-b302099a8057"


class Core(Plugin):
    """Always enabled, and first."""

    name = "core"
    version = "0.1.0"

    @hookimpl
    def blueprints(self) -> Sequence[Blueprint]:
        """The platform's addresses, ``/me`` and ``/tenants``."""
        return [platform_routes.blueprint, routes.blueprint]

    @hookimpl
    def resource_types(self) -> Sequence[ResourceType]:
        """The tenant itself, root of every parent chain."""
        roles = {OWNER: RUNS | {"tenant:delete"}, "admin": RUNS, "member": KNOWS, "guest": SEES}
        return [ResourceType("tenant", roles, model=Tenant)]

    @hookimpl
    def event_types(self) -> Sequence[EventType]:
        """What happens to tenants and their members."""
        tenant = {"tenantId": EXAMPLE_ID, "name": "Ash & Oak"}
        member = {"userId": EXAMPLE_ID, "role": "member"}
        return [
            EventType("tenant.created", TenantEvent, "A tenant was made.", tenant),
            EventType("tenant.deleted", TenantEvent, "A tenant is gone, with all it had.", tenant),
            EventType("member.joined", MemberEvent, "Somebody became a member.", member),
            EventType("member.changed", MemberEvent, "A membership was changed.", member),
            EventType("member.removed", MemberEvent, "A membership ended.", member),
            mail.event_type(),
        ]

    @hookimpl
    def subscriptions(self) -> Sequence[Subscription]:
        """Sending what the outbox holds."""
        return [mail.subscription()]

    @hookimpl
    def periodic_tasks(self) -> Sequence[PeriodicTask]:
        """Forgetting the answers and deliveries of long ago."""
        answers = PeriodicTask("idempotency_keys", idempotency.DAY, idempotency.prune)
        hourly = {"events": pruning.prune, "mails": mail.prune}
        return [answers, *(PeriodicTask(name, pruning.HOUR, run) for name, run in hourly.items())]

    @hookimpl
    def rules(
        self, principal: Principal, permission: str, resource_type: ResourceType
    ) -> Iterable[Rule]:
        """A tenant's owner may do everything in it, also without rbac."""
        if principal.is_owner:
            yield Rule("allow", true(), "owner of the tenant")

    @hookimpl
    def leftovers(self, purged: Purged) -> Iterable[Leftover]:
        """Its events, what was on the way to it, and the times of its periodic tasks."""
        yield from leftovers.leftovers(purged)
        own = PeriodicRun.name.startswith(f"{purged.plugin}.", autoescape=True)
        yield Leftover("times of its periodic tasks", PeriodicRun, own)
