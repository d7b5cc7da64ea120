"""From an identity to a principal: which tenant, which role, which space."""

from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from treenail import platform
from treenail.db import Plan, Row, Runs
from treenail.errors import NotFound, Unauthenticated
from treenail.models import OWNER, SPACES, Activation, Membership, Tenant, User
from treenail.principal import Identity, Principal

MEMBERSHIPS = Plan(
    lambda: (
        select(
            User.email,
            User.name,
            Membership.role,
            Membership.spaces,
            Membership.tenant_id.label("tenant_id"),
            Tenant.kind,
            Activation.tenant_id.label("active_id"),
            Activation.space,
        )
        .select_from(User)
        .outerjoin(Membership, Membership.user_id == User.id)
        .outerjoin(Tenant, Tenant.id == Membership.tenant_id)
        .outerjoin(Activation, Activation.session_id == bindparam("session_id"))
        .where(User.id == bindparam("user_id"))
        .order_by(Membership.id)
    )
)
"""A person with every tenant they belong to, and the one their session works in."""


def resolve(session: Runs, identity: Identity, wanted: str | None = None) -> Principal:
    """The principal in the tenant wanted, activated, or the only one; else in no tenant.

    Takes what sees all tenants. Raises `Unauthenticated` when the person is gone, `NotFound`
    for a tenant they are not a member of.
    """
    rows = session.rows(MEMBERSHIPS, user_id=identity.user_id, session_id=identity.session_id)
    if not rows:
        raise Unauthenticated()
    active = wanted or rows[0].active_id
    chosen = next((row for row in rows if active and row.tenant_id == active), None)
    if chosen is None and wanted:
        raise NotFound()
    if chosen is None and len(rows) == 1 and rows[0].tenant_id:
        chosen = rows[0]
    return _in_tenant(identity, chosen) if chosen else _principal(identity, rows[0])


def describe(session: Session, principal: Principal) -> dict[str, Any]:
    """The ``user`` that ``GET /me`` answers, with what every plugin adds.

    Takes a system session.
    """
    user: dict[str, Any] = {
        "id": principal.user_id,
        "email": principal.email,
        "name": principal.name,
        "orgId": principal.tenant_id,
        "tenantId": principal.tenant_id,
        "space": principal.space,
        "spaces": list(principal.spaces) if principal.tenant_id else None,
        "roles": [principal.role] if principal.role else None,
        "permissions": None,
    }
    for _, add in platform.current().registry.implementations("describe_principal"):
        user |= add(session=session, principal=principal) or {}
    return user


def _in_tenant(identity: Identity, row: Row) -> Principal:
    spaces = SPACES[row.kind] if row.role == OWNER else row.spaces
    active = row.space if row.active_id == row.tenant_id else None
    space = active if active in spaces else None
    if space is None and spaces:
        space = "client" if "client" in spaces else spaces[0]
    return _principal(
        identity,
        row,
        tenant_id=row.tenant_id,
        role=row.role,
        space=space,
        spaces=tuple(spaces),
        tenant_kind=row.kind,
    )


def _principal(identity: Identity, row: Row, **membership: Any) -> Principal:
    return Principal(
        identity.user_id,
        identity.session_id,
        row.email,
        row.name,
        authenticated_at=identity.authenticated_at,
        **membership,
    )
