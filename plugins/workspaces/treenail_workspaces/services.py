"""Making, changing and removing workspaces and documents."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from treenail import platform
from treenail.db import Runs, TenantSession
from treenail.events import emit
from treenail.principal import Principal
from treenail_rbac import grants

from treenail_workspaces import content as contents
from treenail_workspaces import templates
from treenail_workspaces.models import Document, Template, Workspace

WORKSPACE, DOCUMENT = "workspace", "document"


def create_workspace(session: TenantSession, by: Principal, data: dict[str, Any]) -> Workspace:
    """Make a workspace; its maker owns it."""
    made = Workspace(created_by=by.user_id, **data)
    session.add(made)
    session.flush()
    grants.give(session, WORKSPACE, made.id, by.user_id, "owner", by.user_id)
    _tell_workspace(session, "workspace.created", made)
    return made


def change_workspace(
    session: TenantSession, workspace_id: str, changes: dict[str, Any]
) -> Workspace:
    """Rename or describe."""
    found = session.get_one(Workspace, workspace_id)
    for name, value in changes.items():
        setattr(found, name, value)
    session.flush()
    _tell_workspace(session, "workspace.updated", found)
    return found


def delete_workspace(session: TenantSession, workspace_id: str) -> None:
    """Remove a workspace and all that lies in it."""
    found = session.get_one(Workspace, workspace_id)
    ids = select(Document.id).where(Document.workspace_id == workspace_id)
    grants.forget(session, DOCUMENT, session.scalars(ids).all())
    kept = select(Template.id).where(Template.workspace_id == workspace_id)
    grants.forget(session, templates.TEMPLATE, session.scalars(kept).all())
    grants.forget(session, WORKSPACE, [workspace_id])
    _tell_workspace(session, "workspace.deleted", found)
    session.delete(found)


def create_document(
    session: TenantSession, by: Principal, workspace_id: str, data: dict[str, Any]
) -> Document:
    """Make a document in a workspace, empty or with a template's content; its maker owns it."""
    template_id = data.pop("template_id", None)
    made = session.put(Document(workspace_id=workspace_id, created_by=by.user_id, **data))
    if template_id is not None:
        template = templates.choose(session, by, workspace_id, template_id, made.kind)
        contents.seed(session, made, template.content)
    grants.give(session, DOCUMENT, made.id, by.user_id, "owner", by.user_id)
    _tell_document(session, "document.created", made)
    return made


def change_document(session: TenantSession, document_id: str, changes: dict[str, Any]) -> Document:
    """Rename."""
    found = session.get_one(Document, document_id)
    for name, value in changes.items():
        setattr(found, name, value)
    session.flush()
    _tell_document(session, "document.updated", found)
    return found


def delete_document(session: TenantSession, document_id: str) -> None:
    """Remove a document."""
    found = session.get_one(Document, document_id)
    grants.forget(session, DOCUMENT, [document_id])
    _tell_document(session, "document.deleted", found)
    session.delete(found)


def add_roles(session: Runs, by: Principal, kind: str, rows: Sequence[Any]) -> None:
    """Give each row the principal's ``role`` on it; a constant number of queries."""
    resource_type = platform.current().resource_types[kind]
    roles = grants.roles_on(session, by, resource_type, rows)
    for row in rows:
        row.role = roles[row.id]


def content(document: Document) -> dict[str, Any]:
    """What is in the document, as its editor plugin says; empty without one."""
    hook = platform.current().registry.hooks.hook.document_content
    found = hook(document=document) or {"objects": {}, "xml": "", "version": 0}
    return {"updated_at": document.updated_at, **found}


def _tell_workspace(session: TenantSession, event: str, found: Workspace) -> None:
    data = {"workspaceId": found.id, "name": found.name}
    emit(session, event, data, subject=found.id)


def _tell_document(session: TenantSession, event: str, found: Document) -> None:
    data = {
        "documentId": found.id,
        "workspaceId": found.workspace_id,
        "title": found.title,
        "kind": found.kind,
    }
    emit(session, event, data, subject=found.id)
