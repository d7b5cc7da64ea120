"""The rules: a role in the tenant, or a grant on the resource or on what it lies in."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Select, or_, select, true
from sqlalchemy.orm import Session
from treenail import permissions, platform
from treenail.contributions import ResourceType, Rule
from treenail.permissions import TENANT
from treenail.principal import Principal

from treenail_rbac import hierarchy
from treenail_rbac.models import Grant, Holding, Role


def rules(principal: Principal, permission: str, kind: ResourceType) -> Iterator[Rule]:
    """One allow per level of the parent chain: a role there may bring the permission."""
    levels = hierarchy.roles_by_level(kind, permission)
    in_tenant = _in_tenant(principal, permission, levels[TENANT])
    if in_tenant is not None:
        yield Rule("allow", in_tenant, f"{principal.role} of the tenant")
    path: list[ResourceType] = []
    for level in hierarchy.chain(kind):
        path = [*path, level]
        if not level.in_tenant:
            held = _held(principal, level.name, permission, levels[level.name])
            explain = partial(_explain, path, held)
            yield Rule("allow", _reaching(path, held), f"a role on the {level.name}", explain)


def throughout(
    principal: Principal, permission: str, start: ResourceType
) -> Iterator[ColumnElement[bool]]:
    """Conditions on a resource, any of which brings the permission on all that lies in it."""
    levels = hierarchy.roles_by_level(permissions.resource_type_of(permission), permission)
    in_tenant = _in_tenant(principal, permission, levels[TENANT])
    if in_tenant is not None:
        yield in_tenant
    path: list[ResourceType] = []
    for level in hierarchy.chain(start):
        path = [*path, level]
        if not level.in_tenant:
            yield _reaching(path, _held(principal, level.name, permission, levels[level.name]))


def custom(resource_type: str, *wanted: str) -> Select[str]:
    """Select the names of the tenant's own roles on a type that hold any of the permissions."""
    return (
        select(Role.name)
        .join(Holding, Holding.role_id == Role.id)
        .where(Role.resource_type == resource_type, Holding.permission.in_(wanted))
    )


def _in_tenant(
    principal: Principal, permission: str, roles: frozenset[str]
) -> ColumnElement[bool] | None:
    if principal.role in roles:
        return true()
    if principal.role is None or principal.role in platform.current().resource_types[TENANT].roles:
        return None
    return custom(TENANT, permission).where(Role.name == principal.role).exists()


def _held(
    principal: Principal, resource_type: str, permission: str, roles: frozenset[str]
) -> ColumnElement[bool]:
    """Whether a grant is the principal's, on the type, and brings the permission."""
    brings: ColumnElement[bool] = Grant.role.in_(custom(resource_type, permission))
    if roles:
        brings = or_(Grant.role.in_(sorted(roles)), brings)
    own = Grant.user_id == principal.user_id
    return own & (Grant.resource_type == resource_type) & brings


def _reaching(path: list[ResourceType], held: ColumnElement[bool]) -> ColumnElement[bool]:
    """The condition, on the first type of the path, that a grant on the last one reaches it."""
    ids: Any = select(Grant.resource_id).where(held)
    model: Any
    for child in path[-2::-1]:
        column: Any = child.parent and child.parent.column
        model = child.model
        if child is path[0]:
            return column.in_(ids)  # type: ignore[no-any-return]
        ids = select(model.id).where(column.in_(ids))
    model = path[0].model
    return model.id.in_(ids)  # type: ignore[no-any-return]


def _explain(
    path: list[ResourceType], held: ColumnElement[bool], session: Session, resource_id: str
) -> str:
    """Name the role of the grant that reaches the resource, and what it was given on."""
    ancestor: Any = resource_id
    for child in path[:-1]:
        model: Any = child.model
        column: Any = child.parent and child.parent.column
        ancestor = select(column).where(model.id == ancestor).scalar_subquery()
    found = session.execute(
        select(Grant.role, Grant.resource_id).where(held, Grant.resource_id == ancestor)
    ).first()
    return f"{found[0]} of the {path[-1].name} {found[1]}" if found else f"no {path[-1].name}"
