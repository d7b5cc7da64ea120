"""Granting and revoking roles on resources, for whichever plugin owns them."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Select, delete, select
from treenail import epochs, platform
from treenail.contributions import ResourceType
from treenail.db import TenantSession
from treenail.errors import Invalid, NotFound
from treenail.events import emit
from treenail.models import Membership
from treenail.permissions import TENANT
from treenail.principal import Principal

from treenail_rbac import ceilings, hierarchy
from treenail_rbac.models import Grant


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
    ceilings.check_role(resource_type, role)
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
    """Leave a lesser role of a grant, or nothing, without asking: what gave the rest has ended."""
    if role is None:
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
    """The principal's strongest role on each row, in one query per level of the chain."""
    ids = [row.id for row in rows]
    own = select(Grant.resource_id, Grant.role).where(
        Grant.user_id == principal.user_id,
        Grant.resource_type == kind.name,
        Grant.resource_id.in_(ids),
    )
    direct = {row[0]: row[1] for row in session.execute(own)}
    inherited = _inherited(session, principal, kind, rows)
    return {
        id_: hierarchy.strongest(kind, filter(None, (direct.get(id_), inherited.get(id_))))
        for id_ in ids
    }


def _inherited(
    session: TenantSession, principal: Principal, kind: ResourceType, rows: Sequence[Any]
) -> dict[str, str | None]:
    if kind.parent is None or kind.parent.column is None:
        return {}
    if kind.parent.type == TENANT:
        role = kind.inherits.get(principal.role or "")
        return {row.id: role for row in rows}
    parent = platform.current().resource_types[kind.parent.type]
    model: Any = parent.model
    key = kind.parent.column.key
    wanted = {getattr(row, key) for row in rows}
    parents = session.scalars(select(model).where(model.id.in_(wanted))).all()
    roles = roles_on(session, principal, parent, parents)
    return {row.id: kind.inherits.get(roles.get(getattr(row, key)) or "") for row in rows}


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
