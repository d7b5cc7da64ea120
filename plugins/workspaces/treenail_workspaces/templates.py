"""Templates of a workspace: kept, and found for a new document."""

from typing import Any

import orjson
from sqlalchemy import Select
from treenail.db import TenantSession
from treenail.errors import Invalid, NotFound
from treenail.events import emit
from treenail.permissions import visible
from treenail.principal import Principal
from treenail_rbac import grants

from treenail_workspaces import content
from treenail_workspaces.models import Template

TEMPLATE = "template"


def make(
    session: TenantSession, by: Principal, workspace_id: str, data: dict[str, Any]
) -> Template:
    """Keep a template; its maker owns it. Raises `Invalid` for content of another kind."""
    content.check(data["kind"], data["content"])
    thumbnail = data.get("thumbnail") or ""
    if thumbnail:
        content.check_thumbnail(thumbnail)
    made = Template(
        tenant_id=session.tenant_id,
        workspace_id=workspace_id,
        name=data["name"],
        kind=data["kind"],
        created_by=by.user_id,
    )
    made.content_bytes = orjson.dumps(data["content"])
    made.thumbnail_bytes = thumbnail.encode()
    session.add(made)
    session.flush()
    grants.give(session, TEMPLATE, made.id, by.user_id, "owner", by.user_id)
    _tell(session, "template.created", made)
    return made


def of(by: Principal, workspace_id: str) -> Select[Template]:
    """Select the templates of a workspace that the principal may see."""
    return visible(by, "template:read", Template).where(Template.workspace_id == workspace_id)


def find(session: TenantSession, workspace_id: str, template_id: str) -> Template:
    """One of the workspace's; raises `NotFound`."""
    found = session.get(Template, template_id)
    if found is None or found.workspace_id != workspace_id:
        raise NotFound()
    return found


def choose(
    session: TenantSession, by: Principal, workspace_id: str, template_id: str, kind: str
) -> Template:
    """The one for a new document of the kind; raises `Invalid`."""
    found = session.scalar(of(by, workspace_id).where(Template.id == template_id))
    if found is None:
        raise Invalid({"templateId": ["There is no such template in this workspace."]})
    if found.kind != kind:
        raise Invalid({"templateId": [f"This is a template of a {found.kind}."]})
    return found


def delete(session: TenantSession, workspace_id: str, template_id: str) -> None:
    """Remove a template; documents made from it stay as they are."""
    found = find(session, workspace_id, template_id)
    grants.forget(session, TEMPLATE, [template_id])
    _tell(session, "template.deleted", found)
    session.delete(found)


def _tell(session: TenantSession, event: str, found: Template) -> None:
    data = {
        "templateId": found.id,
        "workspaceId": found.workspace_id,
        "name": found.name,
        "kind": found.kind,
    }
    emit(session, event, data, subject=found.id)
