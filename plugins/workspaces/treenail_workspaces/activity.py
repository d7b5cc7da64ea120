"""What happened in a workspace: recorded from events, shown to who may see it."""

from datetime import UTC
from typing import Any

from sqlalchemy import ColumnElement, or_, select
from treenail.contributions import Event
from treenail.db import TenantSession
from treenail.ids import is_id
from treenail.models import User
from treenail.permissions import condition
from treenail.principal import Principal

from treenail_workspaces.models import Activity, Document, Workspace

EVENTS = ("workspace.*", "document.*", "template.*", "link.*", "role.*")


def record(session: TenantSession, event: Event) -> None:
    """Add an event to its workspace's feed, once; not when that workspace is gone."""
    workspace_id, document_id = _place(session, event.data)
    if workspace_id is None or session.get(Workspace, workspace_id) is None:
        return
    if session.get(Activity, event.id) is not None:
        return
    session.add(
        Activity(
            id=event.id,
            workspace_id=workspace_id,
            document_id=document_id,
            type=event.type,
            actor_id=event.actor_id if is_id(event.actor_id) else None,
            data=dict(event.data),
            occurred_at=event.occurred_at,
            day=event.occurred_at.astimezone(UTC).date(),
        )
    )


def feed(by: Principal, workspace_id: str) -> Any:
    """Select the activities that the principal may see, each with its actor's name.

    Of documents one doesn't see, nothing; of links, only to who may share the document; of
    documents that are gone, what happened to them stays to be seen.
    """
    of_links = Activity.type.startswith("link.", autoescape=True)
    found = select(Activity, User.name).outerjoin(User, User.id == Activity.actor_id)
    return found.where(
        Activity.workspace_id == workspace_id,
        or_(~_about(), _about(condition(by, "document:read"))),
        or_(~of_links, _about(condition(by, "document:share"))),
    )


def _about(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether there is a document, of which all that is true, that the activity is about."""
    return select(Document.id).where(Document.id == Activity.document_id, *conditions).exists()


def _place(session: TenantSession, data: Any) -> tuple[str | None, str | None]:
    """The workspace, and perhaps the document, that an event's data names."""
    named = {f"{data.get('resourceType')}Id": data.get("resourceId"), **data}
    workspace_id, document_id = named.get("workspaceId"), named.get("documentId")
    if workspace_id is None and document_id is not None:
        document = session.get(Document, document_id)
        workspace_id = document.workspace_id if document else None
    return workspace_id, document_id
