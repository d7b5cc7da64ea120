"""The plugin workspaces at a glance."""

from collections.abc import Sequence

from flask import Blueprint
from treenail.contributions import EventType, Parent, ResourceType
from treenail.permissions import TENANT
from treenail.plugin import Plugin, hookimpl

from treenail_workspaces import routes, sharing
from treenail_workspaces.hookspecs import WorkspacesSpec
from treenail_workspaces.models import Document, Workspace
from treenail_workspaces.schemas import DocumentEvent, WorkspaceEvent

EXAMPLE_ID = "01890a5d-ac96-774b-bcce-b302099a8057"

SEES = frozenset({"workspace:read"})
RUNS = SEES | {"workspace:update", "workspace:manage"}
READS = frozenset({"document:read"})
WRITES = READS | {"document:update"}


class Workspaces(Plugin):
    """Workspaces, their members, documents."""

    name = "workspaces"
    version = "0.1.0"
    requires = ("rbac",)
    hookspecs = WorkspacesSpec

    @hookimpl
    def blueprints(self) -> Sequence[Blueprint]:
        """``/workspaces`` and ``/documents``."""
        return [routes.blueprint, sharing.blueprint]

    @hookimpl
    def resource_types(self) -> Sequence[ResourceType]:
        """Workspaces lie in the tenant, documents in a workspace."""
        return [
            ResourceType(
                "workspace",
                {
                    "owner": RUNS | {"workspace:delete"},
                    "admin": RUNS,
                    "editor": SEES,
                    "viewer": SEES,
                },
                parent=Parent(TENANT, Workspace.tenant_id),
                model=Workspace,
                inherits={"owner": "owner", "admin": "admin"},
                creators=frozenset({"owner", "admin", "member"}),
            ),
            ResourceType(
                "document",
                {
                    "owner": WRITES | {"document:share", "document:delete"},
                    "editor": WRITES,
                    "viewer": READS,
                },
                parent=Parent("workspace", Document.workspace_id),
                model=Document,
                inherits={
                    "owner": "owner",
                    "admin": "owner",
                    "editor": "editor",
                    "viewer": "viewer",
                },
                creators=frozenset({"owner", "admin", "editor"}),
            ),
        ]

    @hookimpl
    def event_types(self) -> Sequence[EventType]:
        """What happens to workspaces and documents."""
        workspace = {"workspaceId": EXAMPLE_ID, "name": "Joinery"}
        document = {
            "documentId": EXAMPLE_ID,
            "workspaceId": EXAMPLE_ID,
            "title": "Roof",
            "kind": "board",
        }
        about = (
            ("workspace", WorkspaceEvent, workspace),
            ("document", DocumentEvent, document),
        )
        return [
            EventType(f"{thing}.{verb}", schema, f"A {thing} was {verb}.", example)
            for thing, schema, example in about
            for verb in ("created", "updated", "deleted")
        ]
