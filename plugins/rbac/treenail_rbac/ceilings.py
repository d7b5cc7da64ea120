"""Nobody grants what they don't hold: on the resource, nor on anything that lies in it."""

from collections.abc import Iterable

from sqlalchemy import Select, false, or_, select
from treenail import permissions, platform
from treenail.db import TenantSession
from treenail.errors import Invalid, PermissionDenied
from treenail.models import Tenant
from treenail.permissions import TENANT
from treenail.principal import Principal, require_fresh
from treenail.tenants.services import POWERFUL

from treenail_rbac import hierarchy, rules
from treenail_rbac.models import Role


def require_fresh_for(
    session: TenantSession, principal: Principal, role: str, resource_type: str = TENANT
) -> None:
    """Raise 403 ``reauthentication_required`` before a powerful role is given.

    Powerful are owners and admins, and a custom role in the tenant that runs it.
    """
    if role in POWERFUL:
        require_fresh(principal)
    elif resource_type == TENANT:
        require_fresh_to_run(principal, held_by(session, TENANT, role))


def require_fresh_to_run(principal: Principal, wanted: Iterable[str]) -> None:
    """Raise the same for permissions on the tenant itself that plain members don't have."""
    ordinary = hierarchy.brought(TENANT, "member")
    for name in set(wanted) - ordinary:
        if permissions.resource_type_of(name).in_tenant:
            require_fresh(principal)


def check_role(session: TenantSession, resource_type: str, role: str) -> None:
    """Raise `Invalid` for a role that resources of the type don't have."""
    if not exists(session, resource_type, role):
        raise Invalid({"role": ["There is no such role."]})


def exists(session: TenantSession, resource_type: str, role: str) -> bool:
    """Whether there is the role, built in or the tenant's own, which can't go meanwhile."""
    if role in platform.current().resource_types[resource_type].roles:
        return True
    return session.scalar(_named(resource_type, role).with_for_update(read=True)) is not None


def held_by(session: TenantSession, resource_type: str, role: str) -> frozenset[str]:
    """Everything a role brings on such a resource and on what lies in it."""
    if role in platform.current().resource_types[resource_type].roles:
        return hierarchy.brought(resource_type, role)
    found = session.scalar(_named(resource_type, role))
    return platform.current().permissions.intersection(found.permissions if found else ())


def check(
    session: TenantSession, principal: Principal, resource_type: str, resource_id: str, role: str
) -> None:
    """Raise `PermissionDenied` when the role brings something the principal doesn't hold."""
    wanted = held_by(session, resource_type, role)
    check_held(session, principal, resource_type, resource_id, wanted)


def check_held(
    session: TenantSession,
    principal: Principal,
    resource_type: str,
    resource_id: str,
    wanted: Iterable[str],
) -> None:
    """Raise `PermissionDenied` for the first permission the principal doesn't hold.

    One decided on the resource itself must be allowed there, any other by a role that
    reaches all that lies in the resource.
    """
    level = platform.current().resource_types[resource_type]
    kinds = {name: permissions.resource_type_of(name) for name in sorted(set(wanted))}
    below = [n for n, kind in kinds.items() if kind.name != level.name and not kind.in_tenant]
    missing = _missing_below(session, principal, level.name, resource_id, below)
    for name in kinds:
        if name in below:
            allowed = name not in missing
        else:
            allowed = permissions.check(session, principal, name, resource_id).allowed
        if not allowed:
            raise PermissionDenied(name, "You can't grant what you don't hold.")


def _missing_below(
    session: TenantSession, principal: Principal, level: str, resource_id: str, wanted: list[str]
) -> set[str]:
    """Those not held on everything in the resource, in one query; an owner holds all."""
    if not wanted or principal.is_owner:
        return set()
    start = platform.current().resource_types[level]
    model = start.model or Tenant
    reaching = [or_(false(), *rules.throughout(principal, name, start)) for name in wanted]
    columns = [condition.label(f"held_{n}") for n, condition in enumerate(reaching)]
    found = session.execute(
        select(model.id, *columns).select_from(model).where(model.id == resource_id)
    ).one_or_none()
    if found is None:
        return set(wanted)
    return {name for name, held in zip(wanted, found[1:], strict=True) if not held}


def _named(resource_type: str, role: str) -> Select[Role]:
    return select(Role).where(Role.resource_type == resource_type, Role.name == role)
