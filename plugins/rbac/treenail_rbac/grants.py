"""Granting and revoking roles on resources, for whichever plugin owns them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Select, delete, false, or_, select
from treenail import epochs, platform
from treenail.contributions import Leftover, Purged, ResourceType
from treenail.db import TenantSession
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
    session.add(made)
    session.flush()
    return made


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
    session: TenantSession, principal: Principal, kind: ResourceType, rows: Sequence[Any]
) -> dict[str, str | None]:
    """The principal's strongest role on each row, in one query per level of the chain.

    Without a built-in one, a role of the tenant's own that brings something on such a row:
    the nearest.
    """
    found = _roles(session, principal, kind, rows, hierarchy.decided_on(kind))
    return {id_: has.built_in or has.custom for id_, has in found.items()}


class _Has(NamedTuple):
    """What somebody has on a resource: the strongest built-in role and the nearest other."""

    built_in: str | None = None
    custom: str | None = None


def _roles(
    session: TenantSession,
    principal: Principal,
    kind: ResourceType,
    rows: Sequence[Any],
    wanted: Sequence[str],
) -> dict[str, _Has]:
    brings = Grant.role.in_(rules.custom(kind.name, *wanted))
    own = select(Grant.resource_id, Grant.role, brings).where(
        Grant.user_id == principal.user_id,
        Grant.resource_type == kind.name,
        Grant.resource_id.in_([row.id for row in rows]),
    )
    direct = {
        id_: _Has(role, None) if role in kind.roles else _Has(None, role if found else None)
        for id_, role, found in session.execute(own)
    }
    above = _inherited(session, principal, kind, rows, wanted)
    nothing = _Has()
    pairs = {row.id: (direct.get(row.id, nothing), above.get(row.id, nothing)) for row in rows}
    return {
        id_: _Has(
            hierarchy.strongest(kind, filter(None, (near.built_in, far.built_in))),
            near.custom or far.custom,
        )
        for id_, (near, far) in pairs.items()
    }


def _inherited(
    session: TenantSession,
    principal: Principal,
    kind: ResourceType,
    rows: Sequence[Any],
    wanted: Sequence[str],
) -> dict[str, _Has]:
    if kind.parent is None or kind.parent.column is None:
        return {}
    parent = platform.current().resource_types[kind.parent.type]
    if parent.name == TENANT:
        has = _in_tenant(session, principal, parent, wanted)
        return {row.id: _Has(kind.inherits.get(has.built_in or ""), has.custom) for row in rows}
    model: Any = parent.model
    key = kind.parent.column.key
    ids = {getattr(row, key) for row in rows}
    parents = session.scalars(select(model).where(model.id.in_(ids))).all()
    found = _roles(session, principal, parent, parents, wanted)
    above = {row.id: found[getattr(row, key)] for row in rows}
    return {
        id_: _Has(kind.inherits.get(has.built_in or ""), has.custom) for id_, has in above.items()
    }


def _in_tenant(
    session: TenantSession, principal: Principal, tenant: ResourceType, wanted: Sequence[str]
) -> _Has:
    if principal.role is None or principal.role in tenant.roles:
        return _Has(principal.role)
    named = rules.custom(TENANT, *wanted).where(Role.name == principal.role)
    return _Has(None, session.scalar(named.limit(1)))


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
