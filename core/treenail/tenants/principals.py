"""From an identity to a principal: which tenant, which role, which space."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from treenail import platform
from treenail.errors import NotFound, Unauthenticated
from treenail.models import OWNER, SPACES, Activation, Membership, Tenant, User
from treenail.principal import Identity, Principal


def resolve(session: Session, identity: Identity, wanted: str | None = None) -> Principal:
    """The principal in the tenant wanted, activated, or the only one; else in no tenant.

    Takes a system session. Raises `Unauthenticated` when the person is gone, `NotFound` for
    a tenant they are not a member of.
    """
    user = session.get(User, identity.user_id)
    if user is None:
        raise Unauthenticated()
    rows = session.execute(
        select(Membership, Tenant)
        .join(Tenant, Tenant.id == Membership.tenant_id)
        .where(Membership.user_id == user.id)
        .order_by(Membership.id)
    ).all()
    activation = session.get(Activation, identity.session_id)
    active = wanted or (activation.tenant_id if activation else None)
    chosen = next((row for row in rows if row[1].id == active), None)
    if chosen is None and wanted:
        raise NotFound()
    if chosen is None and len(rows) == 1:
        chosen = rows[0]
    if chosen is None:
        return Principal(
            user.id,
            identity.session_id,
            user.email,
            user.name,
            authenticated_at=identity.authenticated_at,
        )
    return _in_tenant(user, identity, *chosen, activation)


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


def _in_tenant(
    user: User,
    identity: Identity,
    membership: Membership,
    tenant: Tenant,
    activation: Activation | None,
) -> Principal:
    spaces = SPACES[tenant.kind] if membership.role == OWNER else membership.spaces
    active = activation.space if activation and activation.tenant_id == tenant.id else None
    space = active if active in spaces else None
    if space is None and spaces:
        space = "client" if "client" in spaces else spaces[0]
    return Principal(
        user_id=user.id,
        session_id=identity.session_id,
        email=user.email,
        name=user.name,
        tenant_id=tenant.id,
        role=membership.role,
        space=space,
        spaces=tuple(spaces),
        tenant_kind=tenant.kind,
        authenticated_at=identity.authenticated_at,
    )
