"""Who has which role on a workspace or document: the same addresses for both."""

from collections.abc import Callable
from typing import Any

from flask import Blueprint
from sqlalchemy.orm import contains_eager
from treenail.db import session
from treenail.models import User
from treenail.web import Page, PageRequest, endpoint, paginate, permission, principal
from treenail_rbac import ceilings, grants
from treenail_rbac.models import Grant

from treenail_workspaces import link_grants
from treenail_workspaces.schemas import GrantSchema, RoleChoice

blueprint = Blueprint("workspaces_sharing", __name__)


def _add_addresses(kind: str, path: str, reading: str, managing: str) -> None:
    """List, give and take the roles on one kind of resource."""

    def listed(resource_id: str, page: PageRequest) -> Page[Any]:
        """Who has a role there of their own."""
        found = grants.on(kind, resource_id).join(Grant.user)
        found = found.options(contains_eager(Grant.user))
        return paginate(session(), found, Grant.id, page)

    def given(resource_id: str, user_id: str, body: dict[str, Any]) -> Grant:
        """Give a member a role."""
        ceilings.require_fresh_for(session(), principal(), body["role"], kind)
        made = grants.grant(session(), principal(), kind, resource_id, user_id, body["role"])
        link_grants.keep(session(), made)
        made.user = session().get_one(User, user_id)
        return made

    def taken(resource_id: str, user_id: str) -> None:
        """Take the role away."""
        grants.revoke(session(), principal(), kind, resource_id, user_id)

    read, manage = (permission(name, of="resource_id") for name in (reading, managing))
    add: Callable[..., None] = blueprint.add_url_rule
    one = f"{path}/<id:user_id>"
    add(path, f"{kind}_roles", endpoint(read, answers=GrantSchema, paged=True)(listed))
    put = endpoint(manage, body=RoleChoice, answers=GrantSchema)(given)
    add(one, f"give_{kind}_role", put, methods=["PUT"])
    add(one, f"take_{kind}_role", endpoint(manage)(taken), methods=["DELETE"])


_add_addresses(
    "workspace", "/workspaces/<id:resource_id>/members", "workspace:read", "workspace:manage"
)
_add_addresses("document", "/documents/<id:resource_id>/grants", "document:read", "document:share")
