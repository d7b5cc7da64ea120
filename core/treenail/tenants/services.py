"""Making tenants and changing memberships; knows no request."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, contains_eager

from treenail import epochs, platform
from treenail.db import TenantSession, tenant_session
from treenail.db.upsert import upsert
from treenail.errors import Conflict, Forbidden, Invalid, NotFound
from treenail.events import emit
from treenail.ids import uuid7
from treenail.models import OWNER, SPACES, Activation, Membership, Tenant, User, email_key
from treenail.permissions import TENANT
from treenail.principal import Principal, require_fresh
from treenail.provisioning import provision

POWERFUL = frozenset({OWNER, "admin"})
"""Roles that are given only by somebody who just proved who they are."""


def create_tenant(owner_id: str, name: str, *, kind: str = "customer") -> Tenant:
    """Make a tenant, whole or not at all; its owner is an existing person."""
    with tenant_session(uuid7()) as session:
        return found(session, session.get_one(User, owner_id), name, kind=kind)


def found(
    session: TenantSession,
    owner: User,
    name: str,
    *,
    kind: str = "customer",
    password_hash: str | None = None,
) -> Tenant:
    """Make the tenant that the session is bound to, in its transaction."""
    tenant = Tenant(id=session.tenant_id, name=name, kind=kind)
    session.add(tenant)
    session.flush()
    join(session, owner.id, OWNER)
    emit(session, "tenant.created", {"tenantId": tenant.id, "name": name}, subject=tenant.id)
    provision(session, tenant, owner, password_hash)
    return tenant


def delete_tenant(session: TenantSession) -> None:
    """Delete the session's tenant; with it goes every row that belongs to it, of all plugins.

    Access ends at once, open sockets within a second. The people stay.
    """
    tenant = session.get_one(Tenant, session.tenant_id, with_for_update=True)
    epochs.touch(session, tenant.id)
    data = {"tenantId": tenant.id, "name": tenant.name}
    emit(session, "tenant.deleted", data, subject=tenant.id, outlives_tenant=True)
    session.delete(tenant)


def create_user(session: Session, email: str, name: str) -> User:
    """Add a person; raises `Conflict` when the address is taken."""
    if find_user(session, email) is not None:
        raise Conflict("This e-mail already has an account.", code="email_taken")
    user = User(email=email, email_key=email_key(email), name=name)
    session.add(user)
    session.flush()
    return user


def find_user(session: Session, email: str) -> User | None:
    """The person with this address, in any of its spellings."""
    return session.scalar(select(User).where(User.email_key == email_key(email)))


def join(
    session: TenantSession, user_id: str, role: str, spaces: list[str] | None = None
) -> Membership:
    """Make somebody a member; one who is already keeps the membership they have."""
    found = session.scalar(select(Membership).where(Membership.user_id == user_id))
    if found is not None:
        return found
    kind = session.scalar(select(Tenant.kind).where(Tenant.id == session.tenant_id)) or "customer"
    member = Membership(
        tenant_id=session.tenant_id,
        user_id=user_id,
        role=role,
        spaces=checked_spaces(spaces, kind) if spaces is not None else SPACES[kind][:1],
    )
    session.add(member)
    session.flush()
    epochs.touch(session, session.tenant_id)
    emit(session, "member.joined", {"userId": user_id, "role": role}, subject=user_id)
    return member


def members(session: TenantSession) -> Any:
    """Select the members of the session's tenant, with their people."""
    return select(Membership).join(Membership.user).options(contains_eager(Membership.user))


def member(session: TenantSession, user_id: str) -> Membership:
    """One member; raises `NotFound`."""
    found: Membership | None = session.scalar(members(session).where(Membership.user_id == user_id))
    if found is None:
        raise NotFound()
    return found


def change_member(
    session: TenantSession,
    by: Principal,
    user_id: str,
    role: str | None,
    spaces: list[str] | None,
) -> Membership:
    """Change a role or spaces; only owners make or unmake owners, and the last one stays."""
    found = member(session, user_id)
    if role is not None and role != found.role:
        if role in POWERFUL:
            require_fresh(by)
        _check_owner_change(session, by, found, OWNER in (role, found.role))
        _check_role_change(session, by, found.role, role)
        found.role = role
    if spaces is not None:
        kind = session.scalar(select(Tenant.kind).where(Tenant.id == session.tenant_id))
        found.spaces = checked_spaces(spaces, kind or "customer")
    session.flush()
    epochs.touch(session, session.tenant_id)
    emit(session, "member.changed", {"userId": user_id, "role": found.role}, subject=user_id)
    return found


def remove_member(session: TenantSession, by: Principal, user_id: str) -> None:
    """End a membership; the last owner can't go."""
    found = member(session, user_id)
    _check_owner_change(session, by, found, found.role == OWNER)
    _check_role_change(session, by, found.role, None)
    session.delete(found)
    session.flush()
    epochs.touch(session, session.tenant_id)
    emit(session, "member.removed", {"userId": user_id, "role": found.role}, subject=user_id)


def activate(session: Session, principal: Principal, space: str | None) -> str | None:
    """Make the principal's tenant its session's; returns the space it works in."""
    if space is not None and space not in principal.spaces:
        raise Forbidden(f"You have no access to the space {space}.", code="space_denied")
    chosen = space or principal.space
    place = {"tenant_id": principal.tenant_id, "space": chosen or ""}
    upsert(session, Activation, {"session_id": principal.session_id}, place)
    return chosen


def checked_spaces(spaces: list[str], kind: str) -> list[str]:
    """The spaces, each once, in the kind's order; raises `Invalid` for one it hasn't."""
    unknown = set(spaces) - set(SPACES[kind])
    if unknown:
        raise Invalid({"spaces": [f"There is no space {min(unknown)} here."]})
    return [space for space in SPACES[kind] if space in spaces]


def home(tenant_id: str, space: str | None) -> str:
    """Where an interface starts in this tenant and space."""
    return f"/tenant/{tenant_id}/{space or 'client'}/dashboard"


def _check_role_change(session: TenantSession, by: Principal, old: str, new: str | None) -> None:
    """Raise `Invalid` for a role that neither the core nor a plugin knows, or what they raise."""
    known = new is None or new in platform.current().resource_types[TENANT].roles
    for _, check in platform.current().registry.implementations("check_role_change"):
        known = check(session=session, principal=by, old=old, new=new) or known
    if not known:
        raise Invalid({"role": ["There is no such role."]})


def _check_owner_change(
    session: TenantSession, by: Principal, found: Membership, concerns_owner: bool
) -> None:
    if not concerns_owner:
        return
    if not by.is_owner:
        raise Forbidden("Only an owner can do this with an owner.", code="owner_required")
    owners = session.scalars(
        select(Membership.user_id).where(Membership.role == OWNER).with_for_update()
    ).all()
    if found.role == OWNER and len(owners) == 1:
        raise Conflict("A tenant keeps at least one owner.", code="last_owner")
