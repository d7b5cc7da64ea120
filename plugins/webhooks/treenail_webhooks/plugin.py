"""The plugin webhooks at a glance."""

from collections.abc import Sequence

from flask import Blueprint
from treenail.contributions import EventType, Parent, ResourceType, Subscription
from treenail.permissions import TENANT
from treenail.plugin import Plugin, hookimpl

from treenail_webhooks import delivery_routes, routes, sender, targets
from treenail_webhooks.schemas import DisabledEvent, EndpointEvent
from treenail_webhooks.settings import WebhooksSettings

EXAMPLE_ID = "01890a5d-ac96-774b-bcce-b302099a8057"


class Webhooks(Plugin):
    """Events, told to addresses of the tenant's own."""

    name = "webhooks"
    version = "0.1.0"
    optional = ("rbac",)
    settings_class = WebhooksSettings

    @hookimpl
    def blueprints(self) -> Sequence[Blueprint]:
        """``/webhooks``."""
        return [routes.blueprint, delivery_routes.blueprint]

    @hookimpl
    def resource_types(self) -> Sequence[ResourceType]:
        """Owners and admins manage endpoints."""
        return [
            ResourceType(
                "webhook",
                {"manager": frozenset({"webhook:manage"})},
                parent=Parent(TENANT),
                inherits={"owner": "manager", "admin": "manager"},
            )
        ]

    @hookimpl
    def event_types(self) -> Sequence[EventType]:
        """What happens to endpoints."""
        example = {"endpointId": EXAMPLE_ID, "host": "hooks.example.com"}
        disabled = {**example, "reason": "failing"}
        return [
            EventType("webhook.created", EndpointEvent, "An endpoint was made.", example),
            EventType("webhook.updated", EndpointEvent, "An endpoint was changed.", example),
            EventType("webhook.deleted", EndpointEvent, "An endpoint was removed.", example),
            EventType("webhook.disabled", DisabledEvent, "One answers no more.", disabled),
            EventType("webhook.tested", EndpointEvent, "Somebody asked for a test.", example),
        ]

    @hookimpl
    def subscriptions(self) -> Sequence[Subscription]:
        """Every event, to whichever endpoints want it."""
        return [Subscription("deliver", ("*",), sender.deliver, targets.targets)]
