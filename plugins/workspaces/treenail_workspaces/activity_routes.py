"""``/workspaces/<id>/activity`` and ``/workspaces/<id>/analytics``."""

from typing import Any

from flask import Blueprint
from treenail.db import session
from treenail.web import Page, PageRequest, endpoint, paginate, permission, principal

from treenail_workspaces import activity, analytics
from treenail_workspaces.models import Activity
from treenail_workspaces.schemas import ActivitySchema, Analytics, AnalyticsQuery

blueprint = Blueprint("workspaces_activity", __name__)


@blueprint.get("/workspaces/<id:workspace_id>/activity")
@endpoint(permission("workspace:read", of="workspace_id"), answers=ActivitySchema, paged=True)
def list_activity(workspace_id: str, page: PageRequest) -> Page[Any]:
    """What happened in a workspace, as far as one may see it, the newest first."""
    return paginate(session(), activity.feed(principal(), workspace_id), Activity.id, page)


@blueprint.get("/workspaces/<id:workspace_id>/analytics")
@endpoint(
    permission("workspace:manage", of="workspace_id"), query=AnalyticsQuery, answers=Analytics
)
def show_analytics(workspace_id: str, query: dict[str, Any]) -> dict[str, Any]:
    """How much happened in a workspace, by day and by person."""
    since, until = query.get("since"), query.get("until")
    return analytics.analytics(session(), workspace_id, since, until)
