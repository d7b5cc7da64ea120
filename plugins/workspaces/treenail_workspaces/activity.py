"""What happened in a workspace: recorded from events, shown to who may see it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from typing import Any

from sqlalchemy import ColumnElement, bindparam, or_, select
from treenail.contributions import Event
from treenail.db import Plan, Row, TenantSession
from treenail.db.plans import padded
from treenail.ids import is_id
from treenail.models import User
from treenail.permissions import condition
from treenail.principal import Principal

from treenail_workspaces.models import Activity, Document, Workspace

EVENTS = ("workspace.*", "document.*", "template.*", "link.*", "role.*")


def record(session: TenantSession, events: Sequence[Event]) -> None:
    """Add events to their workspaces' feeds, each once; not where the workspace is gone."""
    names = [_named(event.data) for event in events]
    documents = _present(session, DOCUMENTS, [n["documentId"] for n in names])
    homes = {row.id: row.workspace_id for row in documents}
    places = [n["workspaceId"] or homes.get(n["documentId"]) for n in names]
    there = {row.id for row in _present(session, WORKSPACES, places)}
    found = zip(events, names, places, strict=True)
    made = [_activity(e, place, n["documentId"]) for e, n, place in found if place in there]
    session.put_all(made, once=True)


def _activity(event: Event, workspace_id: str | None, document_id: str | None) -> Activity:
    return Activity(
        id=event.id,
        workspace_id=workspace_id,
        document_id=document_id,
        type=event.type,
        actor_id=event.actor_id if is_id(event.actor_id) else None,
        data=dict(event.data),
        occurred_at=event.occurred_at,
        day=event.occurred_at.astimezone(UTC).date(),
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


def _named(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The workspace, and perhaps the document, that an event's data names."""
    nothing = {"workspaceId": None, "documentId": None}
    return {**nothing, f"{data.get('resourceType')}Id": data.get("resourceId"), **data}


def _present(session: TenantSession, plan: Plan, ids: Iterable[str | None]) -> list[Row]:
    wanted = {found for found in ids if is_id(found)}
    return session.rows(plan, ids=padded(wanted)) if wanted else []


_IDS: Any = bindparam("ids", expanding=True)
DOCUMENTS = Plan(lambda: select(Document.id, Document.workspace_id).where(Document.id.in_(_IDS)))
WORKSPACES = Plan(lambda: select(Workspace.id).where(Workspace.id.in_(_IDS)))
