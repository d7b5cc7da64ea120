"""Finding documents: among all one may see, by title, in the order asked for."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Select, select
from treenail.db import TenantSession
from treenail.permissions import condition, visible
from treenail.principal import Principal
from treenail.web import Order, Page, PageRequest, paginate
from treenail_rbac.models import Grant

from treenail_workspaces.models import Document, Workspace, title_key

COLUMNS = {
    "createdAt": Document.id,  # made with the row, and sorts by time
    "title": Document.title_key,
    "updatedAt": Document.updated_at,
}
ORDERS = {
    sign + name: Order(sign + name, column, descending=bool(sign))
    for name, column in COLUMNS.items()
    for sign in ("-", "")
}


def documents(
    session: TenantSession,
    by: Principal,
    query: Mapping[str, Any],
    page: PageRequest,
    workspace_id: str | None = None,
) -> Page[Document]:
    """One page of what the principal may see, in one workspace or all.

    ``query`` has ``sort`` and perhaps ``q`` (part of the title, in any case) and ``shared``.
    """
    found = visible(by, "document:read", Document)
    if workspace_id is not None:
        found = found.where(Document.workspace_id == workspace_id)
    if query.get("q"):
        part = title_key(query["q"])
        found = found.where(Document.title_key.contains(part, autoescape=True))
    if query.get("shared"):
        found = _shared(found, by)
    return paginate(session, found, Document.id, page, ORDERS[query["sort"]])


def _shared(found: Select[Any], by: Principal) -> Select[Any]:
    """Those with a grant of one's own, in workspaces that one doesn't see."""
    granted = select(Grant.resource_id).where(
        Grant.user_id == by.user_id, Grant.resource_type == "document"
    )
    seen = select(Workspace.id).where(condition(by, "workspace:read"))
    return found.where(Document.id.in_(granted), Document.workspace_id.not_in(seen))
