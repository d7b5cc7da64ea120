"""A tenant's own roles: made, changed and removed by who holds at least as much."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Select, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from treenail import epochs, permissions, platform
from treenail.db import TenantSession
from treenail.errors import Conflict, Invalid, NotFound
from treenail.events import emit
from treenail.models import Membership
from treenail.permissions import TENANT
from treenail.principal import Principal

from treenail_rbac import ceilings, hierarchy
from treenail_rbac.invitations import WORKSPACE
from treenail_rbac.models import Grant, Holding, Invitation, Role

MOST = 100
"""So many roles a tenant may have of its own; all are listed at once."""


def create(session: TenantSession, by: Principal, data: dict[str, Any]) -> Role:
    """Make a role from ``name``, ``resource_type`` and ``permissions``.

    Raises `Invalid`, `Conflict` for a name that is taken, `PermissionDenied` for more than
    the maker holds throughout the tenant.
    """
    _check_name(data["resource_type"], data["name"])
    _check_permissions(session, by, data["resource_type"], data["permissions"])
    if (session.scalar(select(func.count(Role.id))) or 0) >= MOST:
        raise Conflict(f"A tenant has at most {MOST} roles of its own.", code="too_many_roles")
    made = Role(
        name=data["name"],
        resource_type=data["resource_type"],
        created_by=by.user_id,
        holdings=_holdings(data["permissions"]),
    )
    session.add(made)
    _tell(session, "role.created", made)
    return made


def change(session: TenantSession, by: Principal, role_id: str, changes: dict[str, Any]) -> Role:
    """Change ``name`` or ``permissions``, for everybody who has the role, at once.

    Raises `NotFound`, and what `create` raises; the role as it was counts too.
    """
    found = _locked(session, role_id)
    _check_ceiling(session, by, found.resource_type, found.permissions)
    if "permissions" in changes:
        _check_permissions(session, by, found.resource_type, changes["permissions"])
        kept = {holding.permission: holding for holding in found.holdings}
        wanted = dict.fromkeys(changes["permissions"])
        found.holdings = [kept.get(name) or Holding(permission=name) for name in wanted]
    old, name = found.name, changes.get("name", found.name)
    if name != old:
        _check_name(found.resource_type, name)
        found.name = name
    _tell(session, "role.updated", found)
    if name != old:
        _rename(session, found.resource_type, old, name)
    epochs.touch(session, session.tenant_id)
    return found


def delete(session: TenantSession, by: Principal, role_id: str) -> None:
    """Remove a role that nobody has; raises `NotFound`, and `Conflict` while somebody does."""
    found = _locked(session, role_id)
    _check_ceiling(session, by, found.resource_type, found.permissions)
    if _in_use(session, found):
        raise Conflict("Somebody still has this role.", code="role_in_use")
    session.delete(found)
    _tell(session, "role.deleted", found)


def listed() -> Select[Role]:
    """Select the tenant's own roles, by type and name."""
    return select(Role).order_by(Role.resource_type, Role.name)


def permissions_of(session: Session, principal: Principal) -> list[str]:
    """Every permission that the principal's role in the tenant brings; any session will do."""
    role = principal.role or ""
    if role in platform.current().resource_types[TENANT].roles:
        return sorted(hierarchy.brought(TENANT, role))
    held = (
        select(Holding.permission)
        .join(Role, Role.id == Holding.role_id)
        .where(Role.tenant_id == principal.tenant_id)
        .where(Role.resource_type == TENANT, Role.name == role)
    )
    return sorted(platform.current().permissions.intersection(session.scalars(held)))


def check_role_change(
    session: TenantSession, by: Principal, old: str | None, new: str | None
) -> bool:
    """Whether there is the new role in the tenant; raises `PermissionDenied` beyond a ceiling."""
    tenant_id = by.tenant_id or ""
    if new is not None and not ceilings.exists(session, TENANT, new):
        return False
    for role in filter(None, (new, old)):
        ceilings.check(session, by, TENANT, tenant_id, role)
    if new is not None:
        ceilings.require_fresh_for(session, by, new)
    return True


def _locked(session: TenantSession, role_id: str) -> Role:
    """Locked, so that nobody is given a role that is being removed."""
    found = session.scalar(select(Role).where(Role.id == role_id).with_for_update())
    if found is None:
        raise NotFound()
    return found


def _check_name(resource_type: str, name: str) -> None:
    kind = platform.current().resource_types.get(resource_type)
    if kind is None or kind.model is None:
        raise Invalid({"resourceType": ["There is no such type, or nobody has a role on it."]})
    if name.casefold() in kind.roles:
        raise Invalid({"name": ["This is the name of a built-in role."]})


def _check_permissions(
    session: TenantSession, by: Principal, resource_type: str, wanted: Iterable[str]
) -> None:
    for name in wanted:
        if name not in platform.current().permissions:
            raise Invalid({"permissions": [f"There is no permission {name}."]})
        kind = permissions.resource_type_of(name)
        if resource_type not in {level.name for level in hierarchy.chain(kind)}:
            where = f"a {kind.name}, which lies in no {resource_type}"
            raise Invalid({"permissions": [f"{name} is decided on {where}."]})
    _check_ceiling(session, by, resource_type, wanted)


def _check_ceiling(
    session: TenantSession, by: Principal, resource_type: str, wanted: Iterable[str]
) -> None:
    """Of a plugin that isn't there now, permissions mean nothing."""
    known = platform.current().permissions.intersection(wanted)
    ceilings.check_held(session, by, TENANT, session.tenant_id, known)
    if resource_type == TENANT:
        ceilings.require_fresh_to_run(by, known)


def _holdings(names: Iterable[str]) -> list[Holding]:
    return [Holding(permission=name) for name in dict.fromkeys(names)]


def _rename(session: TenantSession, resource_type: str, old: str, new: str) -> None:
    """Whoever has the role keeps it, and so does whoever is invited to it."""
    invited = Invitation.workspace_id.is_not(None)
    if resource_type == TENANT:
        invited = Invitation.workspace_id.is_(None)
        session.execute(update(Membership).where(Membership.role == old).values(role=new))
    else:
        granted = (Grant.resource_type == resource_type) & (Grant.role == old)
        session.execute(update(Grant).where(granted).values(role=new))
    if resource_type in (TENANT, WORKSPACE):
        session.execute(update(Invitation).where(invited, Invitation.role == old).values(role=new))


def _in_use(session: TenantSession, found: Role) -> bool:
    held: Select[Any] = select(Grant.id).where(
        Grant.resource_type == found.resource_type, Grant.role == found.name
    )
    if found.resource_type == TENANT:
        held = select(Membership.id).where(Membership.role == found.name)
    return session.scalar(held.limit(1)) is not None


def _tell(session: TenantSession, event: str, found: Role) -> None:
    data = {
        "roleId": found.id,
        "name": found.name,
        "resourceType": found.resource_type,
        "permissions": found.permissions,
    }
    try:
        with session.begin_nested():
            session.flush()
    except IntegrityError:
        raise Conflict("There is a role of this name already.", code="role_exists") from None
    emit(session, event, data, subject=found.id)
