"""Nobody grants what they don't hold."""

from sqlalchemy.orm import Session
from treenail import permissions, platform
from treenail.errors import Invalid, PermissionDenied
from treenail.principal import Principal, require_fresh

POWERFUL = frozenset({"owner", "admin"})


def require_fresh_for(principal: Principal, role: str) -> None:
    """Raise 403 ``reauthentication_required`` before a powerful role is given."""
    if role in POWERFUL:
        require_fresh(principal)


def check_role(resource_type: str, role: str) -> None:
    """Raise `Invalid` for a role that resources of the type don't have."""
    if role not in platform.current().resource_types[resource_type].roles:
        raise Invalid({"role": ["There is no such role."]})


def check(
    session: Session, principal: Principal, resource_type: str, resource_id: str, role: str
) -> None:
    """Raise `PermissionDenied` when the role holds something the principal doesn't."""
    for permission in sorted(platform.current().resource_types[resource_type].roles[role]):
        if not permissions.check(session, principal, permission, resource_id).allowed:
            raise PermissionDenied(permission, "You can't grant what you don't hold.")
