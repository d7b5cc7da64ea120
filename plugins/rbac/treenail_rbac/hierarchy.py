"""Which roles, where in the parent chain, bring a permission on a resource.

A role on a parent means a role on what lies in it (`ResourceType.inherits`), so an editor of
a workspace is an editor of its documents, and an owner of the tenant an owner of everything.
"""

from collections.abc import Iterable, Iterator

from treenail import permissions, platform
from treenail.contributions import ResourceType


def chain(kind: ResourceType) -> Iterator[ResourceType]:
    """The type, its parent, and so on up to the tenant."""
    types = platform.current().resource_types
    yield kind
    while kind.parent:
        kind = types[kind.parent.type]
        yield kind


def roles_by_level(kind: ResourceType, permission: str) -> dict[str, frozenset[str]]:
    """For each type of the chain, the roles there that bring the permission here."""
    levels: dict[str, frozenset[str]] = {}
    wanted = permissions.holders(permission, kind)
    below: ResourceType | None = None
    for level in chain(kind):
        if below is not None:
            wanted = frozenset(role for role, means in below.inherits.items() if means in wanted)
        levels[level.name] = wanted
        below = level
    return levels


def strongest(kind: ResourceType, roles: Iterable[str]) -> str | None:
    """The strongest of the roles; None of none.

    Types declare theirs strongest first; roles of the tenant's own come after, by name.
    """
    held = set(roles)
    return next((role for role in kind.roles if role in held), min(held, default=None))


def decided_on(kind: ResourceType) -> list[str]:
    """The permissions that are decided on resources of the type."""
    every = sorted(platform.current().permissions)
    return [name for name in every if permissions.resource_type_of(name).name == kind.name]


def brought(resource_type: str, role: str) -> frozenset[str]:
    """Everything a built-in role on a resource brings there and on what lies in it."""
    types = platform.current().resource_types.values()
    held: set[str] = set()
    pending = [(resource_type, role)]
    while pending:
        level, name = pending.pop()
        for kind in types:
            if kind.name == level:
                held |= kind.roles.get(name, frozenset())
            elif kind.parent and kind.parent.type == level:
                held |= {f"{kind.name}:create"} if name in kind.creators else set()
                if name in kind.inherits:
                    pending.append((kind.name, kind.inherits[name]))
    return frozenset(held)
