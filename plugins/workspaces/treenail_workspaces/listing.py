"""Finding documents: among all one may see, by title, in the order asked for."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Select, bindparam, select
from treenail.db import Row, Runs
from treenail.permissions import condition, visible
from treenail.principal import Principal
from treenail.web import Order, Page, PageRequest, paginate_rows
from treenail_rbac.models import Grant

from treenail_workspaces.models import Document, Workspace, title_key

ESCAPE = "/"
SHOWN = ("id", "workspace_id", "title", "kind", "mode", "created_by", "created_at", "updated_at")
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
    runs: Runs,
    by: Principal,
    query: Mapping[str, Any],
    page: PageRequest,
    workspace_id: str | None = None,
) -> Page[Row]:
    """One page of what the principal may see, in one workspace or all.

    ``query`` has ``sort`` and perhaps ``q`` (part of the title, in any case) and ``shared``.
    """
    values: dict[str, Any] = {"workspace_id": workspace_id} if workspace_id is not None else {}
    if query.get("q"):
        values["pattern"] = f"%{_escaped(title_key(query['q']))}%"
    wanted = (documents, by, *values, bool(query.get("shared")))
    return paginate_rows(
        runs,
        wanted,
        lambda: _chosen(by, values.keys(), bool(query.get("shared"))),
        Document.id,
        page,
        ORDERS[query["sort"]],
        **values,
    )


def _chosen(by: Principal, values: Collection[str], shared: bool) -> Select[Any]:
    shown = [getattr(Document, name) for name in (*SHOWN, "title_key")]
    found = visible(by, "document:read", Document).with_only_columns(*shown)
    if "workspace_id" in values:
        found = found.where(Document.workspace_id == bindparam("workspace_id"))
    if "pattern" in values:
        found = found.where(Document.title_key.like(bindparam("pattern"), escape=ESCAPE))
    return _shared(found, by) if shared else found


def _escaped(part: str) -> str:
    for wild in (ESCAPE, "%", "_"):
        part = part.replace(wild, ESCAPE + wild)
    return part


def _shared(found: Select[Any], by: Principal) -> Select[Any]:
    """Those with a grant of one's own, in workspaces that one doesn't see."""
    granted = select(Grant.resource_id).where(
        Grant.user_id == by.user_id, Grant.resource_type == "document"
    )
    seen = select(Workspace.id).where(condition(by, "workspace:read"))
    return found.where(Document.id.in_(granted), Document.workspace_id.not_in(seen))
