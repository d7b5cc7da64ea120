"""The plugin audit at a glance."""

from collections.abc import Sequence

import click
from flask import Blueprint
from treenail.contributions import EventType, Parent, PeriodicTask, Recorder, ResourceType
from treenail.permissions import TENANT
from treenail.plugin import Plugin, hookimpl

from treenail_audit import commands, inbox, routes, tasks
from treenail_audit.schemas import CheckpointEvent
from treenail_audit.sealer import CHECKPOINT

READS = frozenset({"audit:read"})
EXAMPLE = {
    "seq": 42,
    "hash": "9f" * 32,
    "signedAt": "2026-11-20T06:34:00.123Z",
    "signature": "5e" * 64,
    "publicKey": "d7" * 32,
    "records": 3,
}


class Audit(Plugin):
    """Who did what: recorded with the change, sealed into a chain nobody changes unseen."""

    name = "audit"
    version = "0.1.0"
    optional = ("rbac",)

    @hookimpl
    def blueprints(self) -> Sequence[Blueprint]:
        """``/audit``."""
        return [routes.blueprint]

    @hookimpl
    def resource_types(self) -> Sequence[ResourceType]:
        """The log: owners and admins read it, nobody writes it."""
        roles = {"reader": READS}
        inherits = {"owner": "reader", "admin": "reader"}
        return [ResourceType("audit", roles, parent=Parent(TENANT), inherits=inherits)]

    @hookimpl
    def event_types(self) -> Sequence[EventType]:
        """The log's end, for whoever keeps it elsewhere."""
        about = "The log was sealed up to here."
        return [EventType(CHECKPOINT, CheckpointEvent, about, EXAMPLE)]

    @hookimpl
    def recorders(self) -> Sequence[Recorder]:
        """Every act goes into the inbox."""
        return [Recorder("inbox", inbox.within, inbox.Doorkeeper().apart)]

    @hookimpl
    def periodic_tasks(self) -> Sequence[PeriodicTask]:
        """Sealing what waits."""
        return tasks.periodic_tasks()

    @hookimpl
    def commands(self) -> Sequence[click.Command]:
        """``treenail audit``."""
        return [commands.group]
