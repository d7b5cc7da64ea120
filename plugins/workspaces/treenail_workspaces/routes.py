"""``/workspaces`` and ``/documents``."""

from typing import Any, TypeVar

from flask import Blueprint
from treenail.db import Row, plans, session
from treenail.permissions import visible
from treenail.web import Page, PageRequest, endpoint, fresh, paginate, permission, principal, target

from treenail_workspaces import listing, services
from treenail_workspaces.models import Document, Workspace
from treenail_workspaces.schemas import (
    AnyDocumentQuery,
    ContentSchema,
    DocumentChange,
    DocumentQuery,
    DocumentSchema,
    NewDocument,
    NewWorkspace,
    WorkspaceChange,
    WorkspaceSchema,
)
from treenail_workspaces.services import DOCUMENT, WORKSPACE

T = TypeVar("T")
blueprint = Blueprint("workspaces", __name__)


@blueprint.get("/workspaces")
@endpoint(permission("tenant:read"), answers=WorkspaceSchema, paged=True)
def list_workspaces(page: PageRequest) -> Page[Workspace]:
    """The workspaces one may see, the newest first."""
    found = visible(principal(), "workspace:read", Workspace)
    return _page(WORKSPACE, paginate(session(), found, Workspace.id, page))


@blueprint.post("/workspaces")
@endpoint(permission("workspace:create"), body=NewWorkspace, answers=WorkspaceSchema, status=201)
def create_workspace(body: dict[str, Any]) -> Workspace:
    """Make a workspace."""
    return _one(WORKSPACE, services.create_workspace(session(), principal(), body))


@blueprint.get("/workspaces/<id:workspace_id>")
@endpoint(permission("workspace:read", of="workspace_id"), answers=WorkspaceSchema)
def show_workspace(workspace_id: str) -> Row:
    """One workspace."""
    return _one(WORKSPACE, target())


@blueprint.patch("/workspaces/<id:workspace_id>")
@endpoint(
    permission("workspace:update", of="workspace_id"),
    body=WorkspaceChange,
    answers=WorkspaceSchema,
)
def change_workspace(workspace_id: str, body: dict[str, Any]) -> Workspace:
    """Rename or describe a workspace."""
    return _one(WORKSPACE, services.change_workspace(session(), workspace_id, body))


@blueprint.delete("/workspaces/<id:workspace_id>")
@endpoint(fresh(permission("workspace:delete", of="workspace_id")))
def delete_workspace(workspace_id: str) -> None:
    """Remove a workspace with its documents."""
    services.delete_workspace(session(), workspace_id)


@blueprint.get("/workspaces/<id:workspace_id>/documents")
@endpoint(
    permission("workspace:read", of="workspace_id"),
    query=DocumentQuery,
    answers=DocumentSchema,
    paged=True,
)
def list_documents(workspace_id: str, page: PageRequest, query: dict[str, Any]) -> Page[Row]:
    """The documents of a workspace that one may see, the newest first if nothing else is asked."""
    found = listing.documents(plans(), principal(), query, page, workspace_id)
    return _page(DOCUMENT, found)


@blueprint.post("/workspaces/<id:workspace_id>/documents")
@endpoint(
    permission("document:create", of="workspace_id"),
    body=NewDocument,
    answers=DocumentSchema,
    status=201,
)
def create_document(workspace_id: str, body: dict[str, Any]) -> Document:
    """Make a document."""
    made = services.create_document(session(), principal(), workspace_id, body)
    return _one(DOCUMENT, made)


@blueprint.get("/documents")
@endpoint(permission("tenant:read"), query=AnyDocumentQuery, answers=DocumentSchema, paged=True)
def list_all_documents(page: PageRequest, query: dict[str, Any]) -> Page[Row]:
    """Every document one may see, in whichever workspace, or those shared with one."""
    return _page(DOCUMENT, listing.documents(plans(), principal(), query, page))


@blueprint.get("/documents/<id:document_id>")
@endpoint(permission("document:read", of="document_id"), answers=DocumentSchema)
def show_document(document_id: str) -> Row:
    """One document."""
    return _one(DOCUMENT, target())


@blueprint.patch("/documents/<id:document_id>")
@endpoint(
    permission("document:update", of="document_id"), body=DocumentChange, answers=DocumentSchema
)
def change_document(document_id: str, body: dict[str, Any]) -> Document:
    """Rename a document."""
    return _one(DOCUMENT, services.change_document(session(), document_id, body))


@blueprint.delete("/documents/<id:document_id>")
@endpoint(permission("document:delete", of="document_id"))
def delete_document(document_id: str) -> None:
    """Remove a document; whoever has it open is cut off."""
    services.delete_document(session(), document_id)


@blueprint.get("/documents/<id:document_id>/content")
@endpoint(permission("document:read", of="document_id"), answers=ContentSchema)
def show_content(document_id: str) -> dict[str, Any]:
    """What is in a document now, as JSON."""
    return services.content(session().get_one(Document, document_id))


def _one(kind: str, row: T) -> T:
    services.add_roles(plans(), principal(), kind, [row])
    return row


def _page(kind: str, page: Page[T]) -> Page[T]:
    services.add_roles(plans(), principal(), kind, page.items)
    return page
