"""``/me``, ``/tenants`` and their members."""

from typing import Any

from flask import Blueprint
from sqlalchemy import select

from treenail.db import session, system_session
from treenail.models import Membership, Tenant
from treenail.tenants import principals, services
from treenail.tenants.schemas import (
    Activate,
    Activated,
    Me,
    MemberChange,
    MemberSchema,
    NewTenant,
    TenantSchema,
)
from treenail.web import (
    Page,
    PageRequest,
    authenticated,
    endpoint,
    fresh,
    paginate,
    permission,
    principal,
)

blueprint = Blueprint("tenants", __name__)


@blueprint.get("/me")
@endpoint(authenticated, answers=Me)
def me() -> dict[str, Any]:
    """Who is calling, and in which tenant."""
    with system_session("describe principal", read_only=True) as across:
        return {"user": principals.describe(across, principal())}


@blueprint.get("/tenants")
@endpoint(authenticated, answers=TenantSchema, paged=True)
def list_tenants(page: PageRequest) -> Page[Tenant]:
    """The tenants one is a member of."""
    own = select(Membership.tenant_id).where(Membership.user_id == principal().user_id)
    with system_session("tenants of a person", read_only=True) as across:
        return paginate(across, select(Tenant).where(Tenant.id.in_(own)), Tenant.id, page)


@blueprint.post("/tenants")
@endpoint(authenticated, body=NewTenant, answers=TenantSchema, status=201)
def create_tenant(body: dict[str, Any]) -> Tenant:
    """Make a tenant; the caller becomes its owner."""
    return services.create_tenant(principal().user_id, body["name"])


@blueprint.get("/tenants/<id:tenant_id>")
@endpoint(permission("tenant:read", of="tenant_id"), answers=TenantSchema)
def show_tenant(tenant_id: str) -> Tenant:
    """One tenant."""
    return session().get_one(Tenant, tenant_id)


@blueprint.delete("/tenants/<id:tenant_id>")
@endpoint(fresh(permission("tenant:delete", of="tenant_id")))
def delete_tenant(tenant_id: str) -> None:
    """Delete a tenant with everything in it, for good."""
    services.delete_tenant(session())


@blueprint.post("/tenants/<id:tenant_id>/activate")
@endpoint(permission("tenant:read", of="tenant_id"), body=Activate, answers=Activated)
def activate(tenant_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Work in this tenant, and space, from now on."""
    space = services.activate(session(), principal(), body.get("space"))
    tenant = session().get_one(Tenant, tenant_id)
    return {"tenant": tenant, "space": space, "redirect_to": services.home(tenant_id, space)}


@blueprint.get("/tenants/<id:tenant_id>/members")
@endpoint(permission("member:read", of="tenant_id"), answers=MemberSchema, paged=True)
def list_members(tenant_id: str, page: PageRequest) -> Page[Membership]:
    """Who belongs to the tenant."""
    return paginate(session(), services.members(session()), Membership.id, page)


@blueprint.patch("/tenants/<id:tenant_id>/members/<id:user_id>")
@endpoint(permission("member:update", of="tenant_id"), body=MemberChange, answers=MemberSchema)
def change_member(tenant_id: str, user_id: str, body: dict[str, Any]) -> Membership:
    """Change a member's role or spaces."""
    return services.change_member(
        session(), principal(), user_id, body.get("role"), body.get("spaces")
    )


@blueprint.delete("/tenants/<id:tenant_id>/members/<id:user_id>")
@endpoint(permission("member:remove", of="tenant_id"))
def remove_member(tenant_id: str, user_id: str) -> None:
    """End a membership."""
    services.remove_member(session(), principal(), user_id)
