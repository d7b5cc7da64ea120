"""``/workspaces/<id>/templates``."""

from typing import Any

from flask import Blueprint
from treenail.db import session
from treenail.web import Page, PageRequest, endpoint, paginate, permission, principal

from treenail_workspaces import templates
from treenail_workspaces.models import Template
from treenail_workspaces.schemas import NewTemplate, TemplateSchema, WholeTemplate

blueprint = Blueprint("workspaces_templates", __name__)
PATH = "/workspaces/<id:workspace_id>/templates"


@blueprint.post(PATH)
@endpoint(
    permission("template:create", of="workspace_id"),
    body=NewTemplate,
    answers=WholeTemplate,
    status=201,
)
def make_template(workspace_id: str, body: dict[str, Any]) -> Template:
    """Keep content for new documents to begin with."""
    return templates.make(session(), principal(), workspace_id, body)


@blueprint.get(PATH)
@endpoint(permission("workspace:read", of="workspace_id"), answers=TemplateSchema, paged=True)
def list_templates(workspace_id: str, page: PageRequest) -> Page[Template]:
    """The templates of a workspace, without their content, the newest first."""
    return paginate(session(), templates.of(principal(), workspace_id), Template.id, page)


@blueprint.get(f"{PATH}/<id:template_id>")
@endpoint(permission("template:read", of="template_id"), answers=WholeTemplate)
def show_template(workspace_id: str, template_id: str) -> Template:
    """One template with its content."""
    return templates.find(session(), workspace_id, template_id)


@blueprint.delete(f"{PATH}/<id:template_id>")
@endpoint(permission("template:delete", of="template_id"))
def delete_template(workspace_id: str, template_id: str) -> None:
    """Remove a template; documents made from it stay."""
    templates.delete(session(), workspace_id, template_id)
