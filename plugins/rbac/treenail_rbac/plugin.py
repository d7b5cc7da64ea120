"""The plugin rbac at a glance."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flask import Blueprint
from sqlalchemy.orm import Session
from treenail.contributions import (
    EventType,
    Leftover,
    Parent,
    Purged,
    ResourceType,
    Rule,
    Subscription,
)
from treenail.db import TenantSession
from treenail.permissions import TENANT
from treenail.plugin import Plugin, hookimpl
from treenail.principal import Principal

from treenail_rbac import grants, invitations, role_routes, roles, routes, rules, tasks
from treenail_rbac.schemas import GrantEvent, InvitationEvent, RoleEvent

EXAMPLE_ID = "01890a5d-ac96-774b-bcce-b302099a8057"


class Rbac(Plugin):
    """Roles in tenants and on resources, grants, invitations."""

    name = "rbac"
    version = "0.1.0"
    optional = ("auth",)

    @hookimpl
    def blueprints(self) -> Sequence[Blueprint]:
        """``/roles``, ``/permissions/check``, invitations."""
        return [routes.blueprint, role_routes.blueprint]

    @hookimpl
    def resource_types(self) -> Sequence[ResourceType]:
        """Invitations and roles: owners and admins manage them."""
        return [
            ResourceType(
                name,
                {"manager": frozenset({f"{name}:manage"})},
                parent=Parent(TENANT),
                inherits={"owner": "manager", "admin": "manager"},
            )
            for name in ("invitation", "role")
        ]

    @hookimpl
    def event_types(self) -> Sequence[EventType]:
        """What happens to grants, roles and invitations."""
        grant = {
            "userId": EXAMPLE_ID,
            "resourceType": "document",
            "resourceId": EXAMPLE_ID,
            "role": "editor",
        }
        offer = {"invitationId": EXAMPLE_ID, "role": "member"}
        role = {
            "roleId": EXAMPLE_ID,
            "name": "Reviewer",
            "resourceType": "tenant",
            "permissions": ["document:read"],
        }
        return [
            EventType("role.granted", GrantEvent, "A role was given on a resource.", grant),
            EventType("role.revoked", GrantEvent, "A role was taken away.", grant),
            EventType("role.created", RoleEvent, "A tenant made a role.", role),
            EventType("role.updated", RoleEvent, "A role was changed.", role),
            EventType("role.deleted", RoleEvent, "A role was removed.", role),
            EventType("invitation.created", InvitationEvent, "Somebody was invited.", offer),
            EventType("invitation.resent", InvitationEvent, "A new token was sent.", offer),
            EventType("invitation.accepted", InvitationEvent, "Somebody accepted.", offer),
        ]

    @hookimpl
    def subscriptions(self) -> Sequence[Subscription]:
        """Whoever leaves a tenant leaves their grants."""
        return [Subscription("forget_members", ("member.removed",), tasks.forget_member)]

    @hookimpl
    def rules(
        self, principal: Principal, permission: str, resource_type: ResourceType
    ) -> Iterable[Rule]:
        """A role in the tenant, or a grant anywhere up the parent chain."""
        return rules.rules(principal, permission, resource_type)

    @hookimpl
    def check_role_change(
        self, session: TenantSession, principal: Principal, old: str | None, new: str | None
    ) -> bool:
        """Nobody gives, or takes, a role with more than they hold."""
        return roles.check_role_change(session, principal, old, new)

    @hookimpl(optionalhook=True)
    def is_invited(self, token: str, email: str) -> bool | None:
        """Auth's question, where registration is by invitation only."""
        return invitations.invites(token, email)

    @hookimpl
    def describe_principal(self, session: Session, principal: Principal) -> Mapping[str, Any]:
        """What the role in the tenant brings."""
        if principal.role is None:
            return {}
        return {"permissions": roles.permissions_of(session, principal)}

    @hookimpl
    def leftovers(self, purged: Purged) -> Iterable[Leftover]:
        """Roles given on its resources, and what tenants' own roles say of them."""
        return grants.leftovers(purged)
