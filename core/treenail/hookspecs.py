"""The hooks of the core, in three kinds, each with its rule for a failing implementation.

Parameters have no defaults and are not keyword-only: pluggy would silently not pass them.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
import pluggy
from flask import Blueprint, Request
from sqlalchemy.orm import Session

from treenail.contributions import (
    EventType,
    HealthCheck,
    Leftover,
    PeriodicTask,
    Provisioning,
    Purged,
    Recorder,
    ResourceType,
    Rule,
    Subscription,
)
from treenail.db import TenantSession
from treenail.principal import Identity, Principal

NAMESPACE = "treenail"
hookspec = pluggy.HookspecMarker(NAMESPACE)
hookimpl = pluggy.HookimplMarker(NAMESPACE)

REGISTER: Mapping[str, type[Any]] = {
    "blueprints": Blueprint,
    "resource_types": ResourceType,
    "event_types": EventType,
    "subscriptions": Subscription,
    "periodic_tasks": PeriodicTask,
    "commands": click.Command,
    "health_checks": HealthCheck,
    "recorders": Recorder,
}
"""The register hooks, and what each gives a sequence of."""


class PluginSpec:
    """The hooks; a plugin overrides the ones it needs and marks them ``@hookimpl``."""

    # Register: collected once at boot. When one raises, the plugin is left out whole and the
    # start fails, or with ON_PLUGIN_ERROR=skip goes on without it and its dependents.

    @hookspec
    def blueprints(self) -> Sequence[Blueprint]:  # type: ignore[empty-body]
        """Routes, mounted under ``/api/v1``; each declares its access (`treenail.web`)."""

    @hookspec
    def resource_types(self) -> Sequence[ResourceType]:  # type: ignore[empty-body]
        """What has permissions, and which roles hold them."""

    @hookspec
    def event_types(self) -> Sequence[EventType]:  # type: ignore[empty-body]
        """The events this plugin emits."""

    @hookspec
    def subscriptions(self) -> Sequence[Subscription]:  # type: ignore[empty-body]
        """The events this plugin wants, and what it does with them."""

    @hookspec
    def periodic_tasks(self) -> Sequence[PeriodicTask]:  # type: ignore[empty-body]
        """Work to be done every so often."""

    @hookspec
    def commands(self) -> Sequence[click.Command]:  # type: ignore[empty-body]
        """Commands of the ``treenail`` program."""

    @hookspec
    def health_checks(self) -> Sequence[HealthCheck]:  # type: ignore[empty-body]
        """What ``/readyz`` asks."""

    @hookspec
    def recorders(self) -> Sequence[Recorder]:  # type: ignore[empty-body]
        """Who is told of every act, within its transaction; for the plugin audit alone.

        It is in everybody's way: what it costs every request costs, and what it raises undoes
        the change.
        """

    # Decide: called per request, in line. What raises counts as a denial, and is logged with
    # plugin, hook and tenant.

    @hookspec(firstresult=True)
    def authenticate(self, request: Request) -> Identity | None:
        """Whose credential the request carries.

        None for a credential of a kind this plugin doesn't know. One it recognises but
        finds invalid raises `treenail.errors.Unauthenticated`: it never falls through.
        """

    @hookspec(firstresult=True)
    def resume_session(self, session_id: str) -> Identity | None:
        """The identity behind a session that was proven before, for what outlives a request.

        None for a session this plugin doesn't know; raises
        `treenail.errors.Unauthenticated` for one that has ended.
        """

    @hookspec
    def rules(  # type: ignore[empty-body]
        self, principal: Principal, permission: str, resource_type: ResourceType
    ) -> Iterable[Rule]:
        """Reasons to allow or deny the permission on resources of the type.

        An allow must match and no deny may. Check, list and explanation all come from here.
        Asked once for as long as the principal stays equal, so the answer comes from the
        arguments alone: what else may change is looked up by the rule's condition, and the
        present moment is ``bindparam("now", callable_=utcnow, type_=Timestamp)``.
        """

    @hookspec
    def check_role_change(
        self, session: TenantSession, principal: Principal, old: str | None, new: str | None
    ) -> bool | None:
        """Whether a member can have the new role in the tenant, which the core may not know.

        Asked before the principal changes a membership; ``new`` is None when it ends. True
        from any plugin will do; raises `treenail.errors.PermissionDenied` when the roles
        hold more than the principal does.
        """

    # Step: called in dependency order, each in a savepoint of the one transaction. When one
    # raises, all is rolled back and the caller told which step it was.

    @hookspec(firstresult=True)
    def hash_password(self, password: str, about: Sequence[str]) -> str | None:
        """What may be kept of a new owner's password; ``about`` is their e-mail and name.

        Called before the transaction of `provision_tenant`, which gets the hash: hashing is
        slow. None to leave it to others; raises `treenail.errors.Invalid` for a bad one.
        """

    @hookspec
    def provision_tenant(self, provisioning: Provisioning) -> None:
        """Add what this plugin keeps for a tenant and its owner; harmless when run again."""

    @hookspec
    def describe_principal(  # type: ignore[empty-body]
        self, session: Session, principal: Principal
    ) -> Mapping[str, Any]:
        """Further members of the ``user`` that ``GET /me`` answers."""

    @hookspec
    def leftovers(self, purged: Purged) -> Iterable[Leftover]:  # type: ignore[empty-body]
        """Rows of the core's tables, or of this plugin's, that are nothing without ``purged``.

        Asked of every enabled plugin, and of the one that goes. They are shown by the dry
        run and deleted in the purge's transaction, in the order given; when one raises,
        nothing is purged.
        """
