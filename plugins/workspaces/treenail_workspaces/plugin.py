"""The plugin workspaces at a glance."""

from collections.abc import Sequence

from flask import Blueprint
from treenail.contributions import EventType, Parent, ResourceType, Subscription
from treenail.permissions import TENANT
from treenail.plugin import Plugin, hookimpl

from treenail_workspaces import (
    activity,
    activity_routes,
    link_routes,
    routes,
    sharing,
    tasks,
    template_routes,
)
from treenail_workspaces.hookspecs import WorkspacesSpec
from treenail_workspaces.models import Document, Template, Workspace
from treenail_workspaces.schemas import DocumentEvent, LinkEvent, TemplateEvent, WorkspaceEvent

EXAMPLE_ID = "01890a5d-ac96-774b-bcce-b302099a8057"

SEES = frozenset({"workspace:read"})
RUNS = SEES | {"workspace:update", "workspace:manage"}
READS = frozenset({"document:read"})
WRITES = READS | {"document:update"}
FINDS = frozenset({"template:read"})


class Workspaces(Plugin):
    """Workspaces, their members, documents."""

    name = "workspaces"
    version = "0.1.0"
    requires = ("rbac",)
    hookspecs = WorkspacesSpec

    @hookimpl
    def blueprints(self) -> Sequence[Blueprint]:
        """``/workspaces``, ``/documents`` and ``/links``."""
        rooms = (routes, sharing, link_routes, template_routes, activity_routes)
        return [room.blueprint for room in rooms]

    @hookimpl
    def resource_types(self) -> Sequence[ResourceType]:
        """Workspaces lie in the tenant, documents and templates in a workspace."""
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
            ResourceType(
                "template",
                {"owner": FINDS | {"template:delete"}, "viewer": FINDS},
                parent=Parent("workspace", Template.workspace_id),
                model=Template,
                inherits={
                    "owner": "owner",
                    "admin": "owner",
                    "editor": "viewer",
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
        link = {
            "linkId": EXAMPLE_ID,
            "documentId": EXAMPLE_ID,
            "workspaceId": EXAMPLE_ID,
            "role": "viewer",
        }
        template = {
            "templateId": EXAMPLE_ID,
            "workspaceId": EXAMPLE_ID,
            "name": "Kanban",
            "kind": "board",
        }
        kept = ("created", "updated", "deleted")
        about = (
            ("workspace", WorkspaceEvent, workspace, kept),
            ("document", DocumentEvent, document, kept),
            ("link", LinkEvent, link, ("created", "opened", "revoked")),
            ("template", TemplateEvent, template, ("created", "deleted")),
        )
        return [
            EventType(f"{thing}.{verb}", schema, f"A {thing} was {verb}.", example)
            for thing, schema, example, verbs in about
            for verb in verbs
        ]

    @hookimpl
    def subscriptions(self) -> Sequence[Subscription]:
        """Whatever happens in a workspace goes into its feed."""
        one, many = tasks.record_activity, tasks.record_activities
        return [Subscription("activity", activity.EVENTS, one, batch_handler=many)]
