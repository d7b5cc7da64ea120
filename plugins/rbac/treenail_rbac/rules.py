"""The rules: a role in the tenant, or a grant on the resource or on what it lies in."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, select, true
from treenail.contributions import ResourceType, Rule
from treenail.permissions import TENANT
from treenail.principal import Principal

from treenail_rbac import hierarchy
from treenail_rbac.models import Grant


def rules(principal: Principal, permission: str, kind: ResourceType) -> Iterator[Rule]:
    """One allow per level of the parent chain on which some role brings the permission."""
    levels = hierarchy.roles_by_level(kind, permission)
    if principal.role in levels[TENANT]:
        yield Rule("allow", true(), f"{principal.role} of the tenant")
    below: list[ResourceType] = []
    for level in hierarchy.chain(kind):
        roles = levels[level.name]
        if roles and not level.in_tenant:
            granted = _granted(principal, level.name, roles)
            yield Rule("allow", _reaching(below, level, granted), _reason(level.name, roles))
        below.append(level)


def _granted(principal: Principal, resource_type: str, roles: frozenset[str]) -> Any:
    """Select the ids of resources on which the principal was granted one of the roles."""
    return select(Grant.resource_id).where(
        Grant.user_id == principal.user_id,
        Grant.resource_type == resource_type,
        Grant.role.in_(sorted(roles)),
    )


def _reaching(below: list[ResourceType], level: ResourceType, ids: Any) -> ColumnElement[bool]:
    """The condition, on the lowest type, that its ancestor at this level is one of the ids."""
    model: Any = level.model
    path = [*below, level]
    condition: ColumnElement[bool] = model.id.in_(ids)
    for child, parent in zip(path[-2::-1], path[:0:-1], strict=False):
        column: Any = child.parent and child.parent.column
        if parent is level:
            condition = column.in_(ids)
        else:
            outer: Any = parent.model
            condition = column.in_(select(outer.id).where(condition))
    return condition


def _reason(resource_type: str, roles: frozenset[str]) -> str:
    return f"{' or '.join(sorted(roles))} of the {resource_type}"
