"""Granting and revoking roles on resources, for whichever plugin owns them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Select, bindparam, delete, false, or_, select
from treenail import epochs, platform
from treenail.contributions import Leftover, Purged, ResourceType
from treenail.db import Plan, Row, Runs, TenantSession
from treenail.errors import Invalid, NotFound
from treenail.events import emit
from treenail.models import Membership
from treenail.permissions import TENANT
from treenail.principal import Principal

from treenail_rbac import ceilings, hierarchy, rules
from treenail_rbac.models import Grant, Holding, Invitation, Role


def grant(
    session: TenantSession,
    by: Principal,
    resource_type: str,
    resource_id: str,
    user_id: str,
    role: str,
) -> Grant:
    """Give a member a role on a resource, instead of the one they may have there.

    Raises `Invalid` for an unknown role or person, `PermissionDenied` beyond one's ceiling.
    """
    ceilings.check_role(session, resource_type, role)
    if session.scalar(select(Membership.id).where(Membership.user_id == user_id)) is None:
        raise Invalid({"userId": ["Not a member of this tenant."]})
    ceilings.check(session, by, resource_type, resource_id, role)
    if (found := _find(session, resource_type, resource_id, user_id)) is not None:
        ceilings.check(session, by, resource_type, resource_id, found.role)
        found.role, found.granted_by = role, by.user_id
    else:
        found = give(session, resource_type, resource_id, user_id, role, by.user_id)
    _tell(session, "role.granted", found)
    return found


def give(
    session: TenantSession,
    resource_type: str,
    resource_id: str,
    user_id: str,
    role: str,
    granted_by: str,
) -> Grant:
    """Write a first grant without asking, as for the maker of a resource."""
    made = Grant(
        user_id=user_id,
        resource_type=resource_type,
        resource_id=resource_id,
        role=role,
        granted_by=granted_by,
    )
    return session.put(made)


def revoke(
    session: TenantSession, by: Principal, resource_type: str, resource_id: str, user_id: str
) -> None:
    """Take a grant away; raises `NotFound` when there is none."""
    found = _find(session, resource_type, resource_id, user_id)
    if found is None:
        raise NotFound()
    if user_id != by.user_id:
        ceilings.check(session, by, resource_type, resource_id, found.role)
    session.delete(found)
    _tell(session, "role.revoked", found)


def reduce(session: TenantSession, found: Grant, role: str | None) -> None:
    """Leave a lesser role of a grant, or nothing, without asking: what gave the rest has ended.

    Nothing is left of a role that is gone.
    """
    if role is None or not ceilings.exists(session, found.resource_type, role):
        session.delete(found)
        _tell(session, "role.revoked", found)
    else:
        found.role = role
        _tell(session, "role.granted", found)


def forget(session: TenantSession, resource_type: str, ids: Iterable[str]) -> None:
    """Remove all grants on resources that are going away."""
    session.execute(
        delete(Grant).where(Grant.resource_type == resource_type, Grant.resource_id.in_(list(ids)))
    )
    epochs.touch(session, session.tenant_id)


def on(resource_type: str, resource_id: str) -> Select[Grant]:
    """Select the grants on a resource."""
    return select(Grant).where(
        Grant.resource_type == resource_type, Grant.resource_id == resource_id
    )


def roles_on(
    session: Runs, principal: Principal, kind: ResourceType, rows: Sequence[Any]
) -> dict[str, str | None]:
    """The principal's strongest role on each row, in one query per level of the chain.

    Without a built-in one, a role of the tenant's own that brings something on such a row:
    the nearest.
    """
    found = _roles(session, principal, kind, rows, kind)
    return {id_: has.built_in or has.custom for id_, has in found.items()}


class _Has(NamedTuple):
    """What somebody has on a resource: the strongest built-in role and the nearest other."""

    built_in: str | None = None
    custom: str | None = None


def _roles(
    session: Runs,
    principal: Principal,
    level: ResourceType,
    rows: Sequence[Any],
    below: ResourceType,
) -> dict[str, _Has]:
    """What somebody has on rows of a level, for what it brings on the type asked about."""
    found = _inherited(session, principal, level, rows, below)
    strongest = next(iter(level.roles), None)
    weaker = [id_ for id_, has in found.items() if has.built_in != strongest]
    own = session.rows(_held(level, below), user_id=principal.user_id, ids=weaker) if weaker else ()
    for grant in own:
        above = found[grant.resource_id]
        if grant.role in level.roles:
            role = hierarchy.strongest(level, filter(None, (grant.role, above.built_in)))
            found[grant.resource_id] = _Has(role, above.custom)
        elif grant.brings:
            found[grant.resource_id] = _Has(above.built_in, grant.role)
    return found


def _inherited(
    session: Runs,
    principal: Principal,
    level: ResourceType,
    rows: Sequence[Any],
    below: ResourceType,
) -> dict[str, _Has]:
    if level.parent is None or level.parent.column is None:
        return {row.id: _Has() for row in rows}
    parent = platform.current().resource_types[level.parent.type]
    if parent.name == TENANT:
        brought = _brought(level, _in_tenant(session, principal, parent, below))
        return {row.id: brought for row in rows}
    key = level.parent.column.key
    parents = _parents(session, parent, {getattr(row, key) for row in rows})
    found = _roles(session, principal, parent, parents, below)
    above = {id_: _brought(level, has) for id_, has in found.items()}
    return {row.id: above[getattr(row, key)] for row in rows}


def _brought(level: ResourceType, has: _Has) -> _Has:
    """What something above brings on the level."""
    return _Has(level.inherits.get(has.built_in or ""), has.custom)


def _parents(session: Runs, parent: ResourceType, ids: set[str]) -> Sequence[Any]:
    """The rows above, read only where something may lie above them that their row tells."""
    if parent.parent is None or parent.parent.type == TENANT:
        return [Row({"id": id_}) for id_ in ids]
    model: Any = parent.model
    column: Any = parent.parent.column
    found = select(model.id, column).where(model.id.in_(bindparam("ids", expanding=True)))
    plan = platform.current().keep((_parents, parent.name), lambda: Plan(lambda: found))
    return session.rows(plan, ids=list(ids))


def _in_tenant(
    session: Runs, principal: Principal, tenant: ResourceType, below: ResourceType
) -> _Has:
    if principal.role is None or principal.role in tenant.roles:
        return _Has(principal.role)
    named = platform.current().keep((_in_tenant, below.name), lambda: Plan(lambda: _named(below)))
    return _Has(None, principal.role if session.rows(named, role=principal.role) else None)


def _named(below: ResourceType) -> Select[Any]:
    brings = rules.custom(TENANT, *hierarchy.decided_on(below))
    return brings.where(Role.name == bindparam("role")).limit(1)


def _held(level: ResourceType, below: ResourceType) -> Plan:
    """Somebody's grants on some rows, and whether each brings anything on the type below."""
    key = (_held, level.name, below.name)
    return platform.current().keep(key, lambda: Plan(lambda: _grants(level, below)))


def _grants(level: ResourceType, below: ResourceType) -> Select[str, str, bool]:
    brings = Grant.role.in_(rules.custom(level.name, *hierarchy.decided_on(below)))
    return select(Grant.resource_id, Grant.role, brings.label("brings")).where(
        Grant.user_id == bindparam("user_id"),
        Grant.resource_type == level.name,
        Grant.resource_id.in_(bindparam("ids", expanding=True)),
    )


def _find(
    session: TenantSession, resource_type: str, resource_id: str, user_id: str
) -> Grant | None:
    return session.scalar(on(resource_type, resource_id).where(Grant.user_id == user_id))


def _tell(session: TenantSession, event: str, found: Grant) -> None:
    session.flush()
    epochs.touch(session, session.tenant_id)
    data = {
        "userId": found.user_id,
        "resourceType": found.resource_type,
        "resourceId": found.resource_id,
        "role": found.role,
    }
    emit(session, event, data, subject=found.resource_id)


def leftovers(purged: Purged) -> Iterator[Leftover]:
    """Roles on resources that will be gone, and what tenants' own roles say of them."""
    of_it = Grant.resource_type.in_(purged.resource_types)
    yield Leftover("roles given on its resources", Grant, of_it)
    kinds = [Holding.permission.startswith(f"{kind}:") for kind in purged.resource_types]
    yield Leftover("its permissions in tenants' own roles", Holding, or_(false(), *kinds))
    own = Role.resource_type.in_(purged.resource_types)
    yield Leftover("tenants' own roles on its resources", Role, own)
    if "workspace" in purged.resource_types:
        into_it = Invitation.workspace_id.is_not(None) & Invitation.accepted_at.is_(None)
        yield Leftover("invitations into its workspaces", Invitation, into_it)
