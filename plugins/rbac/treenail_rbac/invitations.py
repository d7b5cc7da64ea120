"""Invitations: offered by mail alone, accepted once by whoever reads that mail."""

import hashlib
import secrets
from datetime import timedelta
from typing import Any

from sqlalchemy import select, update
from treenail import mail, platform
from treenail.clock import utcnow
from treenail.db import Runs, TenantSession, system_session, tenant_session
from treenail.errors import Forbidden, Invalid, NotFound
from treenail.events import emit
from treenail.models import Tenant, User, email_key
from treenail.permissions import TENANT
from treenail.principal import Identity, Principal
from treenail.tenants import principals
from treenail.tenants import services as tenants

from treenail_rbac import ceilings, grants
from treenail_rbac.models import Invitation

LIFETIME = timedelta(days=7)
WORKSPACE = "workspace"


def invite(session: TenantSession, by: Principal, data: dict[str, Any]) -> Invitation:
    """Offer membership to an address; the token leaves by mail when this commits.

    ``data`` has ``email``, ``role``, perhaps ``spaces`` and ``workspace_id``; with the
    latter the role is one in that workspace, and whoever is new joins the tenant as guest.
    """
    _check(session, by, data["role"], data.get("workspace_id"))
    _require_fresh(session, by, data["role"], data.get("workspace_id"))
    tenant = session.get_one(Tenant, session.tenant_id)
    if data.get("spaces") is not None:
        tenants.checked_spaces(data["spaces"], tenant.kind)
    token = secrets.token_urlsafe(32)
    made = Invitation(
        email=data["email"],
        email_key=email_key(data["email"]),
        role=data["role"],
        spaces=data.get("spaces"),
        workspace_id=data.get("workspace_id"),
        token_hash=_hash(token),
        invited_by=by.user_id,
        expires_at=utcnow() + LIFETIME,
    )
    session.add(made)
    session.flush()
    _send(session, made, tenant, by, token)
    emit(session, "invitation.created", {"invitationId": made.id, "role": made.role})
    return made


def resend(session: TenantSession, by: Principal, invitation_id: str) -> Invitation:
    """Send an open invitation anew, now in the sender's name; the token it had is dead.

    Raises `NotFound` when there is none open, and what `invite` raises.
    """
    wanted = select(Invitation).where(Invitation.id == invitation_id).with_for_update()
    found = session.scalar(wanted)
    if found is None or found.accepted_at:
        raise NotFound()
    _check(session, by, found.role, found.workspace_id)
    _require_fresh(session, by, found.role, found.workspace_id)
    token = secrets.token_urlsafe(32)
    found.token_hash, found.expires_at = _hash(token), utcnow() + LIFETIME
    found.invited_by = by.user_id
    session.flush()
    _send(session, found, session.get_one(Tenant, session.tenant_id), by, token)
    emit(session, "invitation.resent", {"invitationId": found.id, "role": found.role})
    return found


def withdraw(session: TenantSession, invitation_id: str) -> None:
    """Take an offer back; raises `NotFound` when there is none open."""
    found = session.get(Invitation, invitation_id)
    if found is None or found.accepted_at:
        raise NotFound()
    session.delete(found)


def accept(identity: Identity, token: str) -> tuple[str, str]:
    """Use a token up; returns the tenant's id and the role the person now has there.

    Raises `NotFound` for a token that is unknown, used or expired, `Forbidden` when it was
    sent to another address, `PermissionDenied` when the inviter could not invite so now.
    """
    with system_session("find invitation", read_only=True) as session:
        found = session.scalar(select(Invitation).where(Invitation.token_hash == _hash(token)))
        user = session.get_one(User, identity.user_id)
        if found is None or found.accepted_at or found.expires_at <= utcnow():
            raise NotFound("This invitation can't be used.", code="invitation_invalid")
        if user.email_key != found.email_key:
            raise Forbidden("This invitation is for another address.", code="invitation_not_yours")
        inviter = _inviter(session, found)
    with tenant_session(found.tenant_id) as session:
        return _join(session, found, inviter, identity.user_id)


def invites(token: str, email: str) -> bool | None:
    """Whether the token is an open invitation of this address; None for one unknown here."""
    with system_session("look at invitation", read_only=True) as session:
        found = session.scalar(select(Invitation).where(Invitation.token_hash == _hash(token)))
    if found is None:
        return None
    is_open = found.accepted_at is None and found.expires_at > utcnow()
    return is_open and found.email_key == email_key(email)


def _join(
    session: TenantSession, found: Invitation, inviter: Principal, user_id: str
) -> tuple[str, str]:
    """Mark it used first: of two at once, one finds nothing to mark."""
    _check(session, inviter, found.role, found.workspace_id)
    used = session.execute(
        update(Invitation)
        .where(Invitation.id == found.id, Invitation.token_hash == found.token_hash)
        .where(Invitation.accepted_at.is_(None))
        .values(accepted_at=utcnow())
    )
    if not used.rowcount:  # type: ignore[attr-defined]
        raise NotFound("This invitation can't be used.", code="invitation_invalid")
    user = session.get_one(User, user_id)
    user.email_verified_at = user.email_verified_at or utcnow()  # the token came by mail
    role = "guest" if found.workspace_id else found.role
    member = tenants.join(session, user_id, role, found.spaces)
    if found.workspace_id:
        grants.grant(session, inviter, WORKSPACE, found.workspace_id, user_id, found.role)
    emit(session, "invitation.accepted", {"invitationId": found.id, "role": found.role})
    return found.tenant_id, member.role


def _check(session: TenantSession, by: Principal, role: str, workspace_id: str | None) -> None:
    """The role exists, and the inviter holds all of it."""
    if workspace_id is None:
        ceilings.check_role(session, TENANT, role)
        ceilings.check(session, by, TENANT, session.tenant_id, role)
        return
    kind = platform.current().resource_types.get(WORKSPACE)
    if kind is None or session.get(kind.model or Tenant, workspace_id) is None:
        raise Invalid({"workspaceId": ["There is no such workspace."]})
    ceilings.check_role(session, WORKSPACE, role)
    ceilings.check(session, by, WORKSPACE, workspace_id, role)


def _require_fresh(
    session: TenantSession, by: Principal, role: str, workspace_id: str | None
) -> None:
    ceilings.require_fresh_for(session, by, role, WORKSPACE if workspace_id else TENANT)


def _inviter(session: Runs, found: Invitation) -> Principal:
    try:
        return principals.resolve(session, Identity(found.invited_by, ""), found.tenant_id)
    except NotFound:
        raise NotFound("This invitation can't be used.", code="invitation_invalid") from None


def _send(
    session: TenantSession, made: Invitation, tenant: Tenant, by: Principal, token: str
) -> None:
    mail.send_template(
        session,
        made.email,
        "rbac_invitation",
        inviter=by.name,
        tenant=tenant.name,
        role=made.role,
        days=LIFETIME.days,
        link=mail.link(f"/invitations/accept?token={token}"),
    )


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
