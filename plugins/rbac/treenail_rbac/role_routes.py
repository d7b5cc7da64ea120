"""``/roles``: those that are built in, and the tenant's own."""

from typing import Any

from flask import Blueprint
from treenail import platform
from treenail.db import session
from treenail.web import endpoint, permission, principal

from treenail_rbac import roles
from treenail_rbac.models import Role
from treenail_rbac.schemas import NewRole, RoleChange, RoleList, RoleSchema

blueprint = Blueprint("rbac_roles", __name__)


@blueprint.get("/roles")
@endpoint(permission("tenant:read"), answers=RoleList)
def list_roles() -> dict[str, Any]:
    """The roles one can have on each type of resource, the tenant's own last."""
    built_in = [
        {
            "id": None,
            "name": role,
            "resource_type": kind.name,
            "permissions": sorted(held),
            "built_in": True,
        }
        for kind in platform.current().resource_types.values()
        for role, held in kind.roles.items()
    ]
    return {"items": [*built_in, *session().scalars(roles.listed())], "next_cursor": None}


@blueprint.post("/roles")
@endpoint(permission("role:manage"), body=NewRole, answers=RoleSchema, status=201)
def create_role(body: dict[str, Any]) -> Role:
    """Make a role, of at most what one holds."""
    return roles.create(session(), principal(), body)


@blueprint.patch("/roles/<id:role_id>")
@endpoint(permission("role:manage"), body=RoleChange, answers=RoleSchema)
def change_role(role_id: str, body: dict[str, Any]) -> Role:
    """Rename a role, or change what it holds, for everybody who has it."""
    return roles.change(session(), principal(), role_id, body)


@blueprint.delete("/roles/<id:role_id>")
@endpoint(permission("role:manage"))
def delete_role(role_id: str) -> None:
    """Remove a role that nobody has."""
    roles.delete(session(), principal(), role_id)
