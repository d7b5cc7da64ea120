"""``/permissions/check`` and invitations."""

from typing import Any

from flask import Blueprint
from sqlalchemy import select
from treenail import permissions, platform
from treenail.db import session
from treenail.permissions import Decision
from treenail.tenants import services as tenants
from treenail.web import (
    Page,
    PageRequest,
    authenticated,
    endpoint,
    limited,
    paginate,
    permission,
    principal,
)
from treenail.web.caller import identify

from treenail_rbac import invitations
from treenail_rbac.models import Invitation
from treenail_rbac.schemas import (
    Acceptance,
    Accepted,
    Checks,
    InvitationSchema,
    NewInvitation,
    Results,
)

blueprint = Blueprint("rbac", __name__)
UNKNOWN = Decision(False, "nothing grants it")


@blueprint.post("/permissions/check")
@endpoint(permission("tenant:read"), body=Checks, answers=Results)
def check_permissions(body: dict[str, Any]) -> dict[str, Any]:
    """Whether the caller may, and why; what it can't see is merely not allowed."""
    return {"results": [_check(question) for question in body["checks"]]}


@blueprint.post("/tenants/<id:tenant_id>/invitations")
@endpoint(
    limited(permission("invitation:manage", of="tenant_id"), "200/hour"),
    body=NewInvitation,
    answers=InvitationSchema,
    status=201,
)
def invite(tenant_id: str, body: dict[str, Any]) -> Invitation:
    """Invite an address; the token goes by mail alone."""
    return invitations.invite(session(), principal(), body)


@blueprint.get("/tenants/<id:tenant_id>/invitations")
@endpoint(permission("invitation:manage", of="tenant_id"), answers=InvitationSchema, paged=True)
def list_invitations(tenant_id: str, page: PageRequest) -> Page[Invitation]:
    """Invitations, the newest first."""
    return paginate(session(), select(Invitation), Invitation.id, page)


@blueprint.delete("/tenants/<id:tenant_id>/invitations/<id:invitation_id>")
@endpoint(permission("invitation:manage", of="tenant_id"))
def withdraw(tenant_id: str, invitation_id: str) -> None:
    """Take an invitation back."""
    invitations.withdraw(session(), invitation_id)


@blueprint.post("/tenants/<id:tenant_id>/invitations/<id:invitation_id>/resend")
@endpoint(
    limited(permission("invitation:manage", of="tenant_id"), "60/hour"), answers=InvitationSchema
)
def resend(tenant_id: str, invitation_id: str) -> Invitation:
    """Send an invitation anew, with a new token and a new week; the old token is dead."""
    return invitations.resend(session(), principal(), invitation_id)


@blueprint.post("/invitations/accept")
@endpoint(authenticated, body=Acceptance, answers=Accepted)
def accept(body: dict[str, Any]) -> dict[str, Any]:
    """Join the tenant that invited one."""
    tenant_id, role = invitations.accept(identify(), body["token"])
    home = tenants.home(tenant_id, None)
    return {"tenant_id": tenant_id, "role": role, "redirect_to": home}


def _check(question: dict[str, Any]) -> Decision:
    name, resource = question["permission"], question["resource"]
    if name not in platform.current().permissions:
        return Decision(False, "there is no such permission")
    kind = permissions.resource_type_of(name)
    if resource is not None and resource["type"] != kind.name:
        return Decision(False, f"it is decided on a {kind.name}")
    if resource is None and not kind.in_tenant:
        return Decision(False, f"say on which {kind.name}")
    if resource is not None and kind.in_tenant and resource["id"] != principal().tenant_id:
        return UNKNOWN
    target = resource["id"] if resource else None
    decision = permissions.explain(session(), principal(), name, target)
    return decision if decision.exists else UNKNOWN
