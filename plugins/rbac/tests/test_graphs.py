"""Random tenants, people, roles and grants: check, list and role agree, and with the contract.

The oracle below is written from the contract's tables of roles and knows nothing of the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from sqlalchemy import select
from treenail import platform
from treenail.db import system_session, tenant_session
from treenail.ids import uuid7
from treenail.models import Membership, Tenant
from treenail.permissions import check, visible
from treenail.principal import Principal
from treenail.testing.callers import make_person
from treenail_rbac.grants import roles_on
from treenail_rbac.models import Grant, Holding, Role
from treenail_workspaces.models import Document, Workspace

# The contract

SEES = {"workspace:read"}
RUNS = {"workspace:read", "workspace:update", "workspace:manage", "document:create"}
ON_WORKSPACE = {
    "owner": RUNS | {"workspace:delete"},
    "admin": RUNS,
    "editor": SEES | {"document:create"},
    "viewer": SEES,
}
READS = {"document:read"}
WRITES = READS | {"document:update"}
ON_DOCUMENT = {
    "owner": WRITES | {"document:share", "document:delete"},
    "editor": WRITES,
    "viewer": READS,
}
ON = {"workspace": ON_WORKSPACE, "document": ON_DOCUMENT}
WORKSPACE_ROLE_OF = {"owner": "owner", "admin": "admin"}
DOCUMENT_ROLE_OF = {"owner": "owner", "admin": "owner", "editor": "editor", "viewer": "viewer"}
MAKE_WORKSPACES = {"owner", "admin", "member"}

HELD_ON = {kind: frozenset().union(*roles.values()) for kind, roles in ON.items()}
HELD_FROM = {
    "tenant": HELD_ON["workspace"] | HELD_ON["document"] | {"workspace:create"},
    "workspace": HELD_ON["workspace"] | HELD_ON["document"],
    "document": HELD_ON["document"],
}
"""What a tenant's own role on a type may hold: decided there, or on what lies there."""
CUSTOM = ("reader", "writer")
TENANT_ROLES = ("owner", "admin", "member", "guest")
MODELS = {"workspace": Workspace, "document": Document}
TENANTS, PEOPLE = range(2), range(3)


@dataclass(frozen=True)
class World:
    """Two tenants: of what each consists, who is what, and who was granted what."""

    members: dict[tuple[int, int], str]
    workspaces: list[int]
    """The tenant of each."""
    documents: list[int]
    """The workspace of each."""
    grants: dict[tuple[int, int, str, str, int], str]
    """Tenant and person, type said, type and number of the resource meant: the role."""
    custom: dict[tuple[int, str, str], frozenset[str]]
    """Tenant, type and name of its own roles: what they hold."""

    def tenant_of(self, kind: str, number: int) -> int:
        """Where a resource lies."""
        return self.workspaces[self.documents[number] if kind == "document" else number]

    def roles(self, person: int, kind: str, number: int) -> set[str]:
        """The oracle: every role somebody has on a resource."""
        tenant = self.tenant_of(kind, number)
        granted = self.grants.get((tenant, person, kind, kind, number), "")
        roles = {granted} & ON[kind].keys()
        if kind == "workspace":
            above = {self.members.get((tenant, person), "")}
            return roles | {WORKSPACE_ROLE_OF[role] for role in above & WORKSPACE_ROLE_OF.keys()}
        above = self.roles(person, "workspace", self.documents[number])
        return roles | {DOCUMENT_ROLE_OF[role] for role in above}

    def own(self, person: int, kind: str, number: int) -> Iterator[tuple[str, frozenset[str]]]:
        """The oracle: the tenant's own roles somebody has there or above, the nearest first."""
        tenant = self.tenant_of(kind, number)
        places = [(kind, number)]
        if kind == "document":
            places.append(("workspace", self.documents[number]))
        for of, which in places:
            name = self.grants.get((tenant, person, of, of, which), "")
            yield name, self.custom.get((tenant, of, name), frozenset())
        yield self.in_tenant(tenant, person)

    def in_tenant(self, tenant: int, person: int) -> tuple[str, frozenset[str]]:
        """The oracle: a member's role, and what it holds if it is one of the tenant's own."""
        name = self.members.get((tenant, person), "")
        return name, self.custom.get((tenant, "tenant", name), frozenset())

    def allowed(self, tenant: int, person: int, permission: str, kind: str) -> set[int]:
        """The oracle: on which resources of a tenant somebody holds a permission."""
        of_tenant = (n for n in self.numbers(kind) if self.tenant_of(kind, n) == tenant)
        return {
            number
            for number in of_tenant
            if any(permission in ON[kind][role] for role in self.roles(person, kind, number))
            or any(permission in held for _, held in self.own(person, kind, number))
        }

    def strongest(self, person: int, kind: str, number: int) -> str | None:
        """The oracle: the role that is shown."""
        roles = self.roles(person, kind, number)
        built_in = (role for role in ON[kind] if role in roles)
        own = (name for name, held in self.own(person, kind, number) if held & HELD_ON[kind])
        return next(built_in, None) or next(own, None)

    def numbers(self, kind: str) -> range:
        """All resources of a type, in both tenants."""
        return range(len(self.workspaces if kind == "workspace" else self.documents))


@st.composite
def custom_roles(draw: st.DrawFn) -> dict[tuple[int, str, str], frozenset[str]]:
    """Roles of the tenants' own: of the same names, holding different things."""
    names = [(t, kind, name) for t in TENANTS for kind in HELD_FROM for name in CUSTOM]
    found = draw(st.lists(st.sampled_from(names), unique=True))
    return {key: draw(st.frozensets(st.sampled_from(sorted(HELD_FROM[key[1]])))) for key in found}


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Worlds, with stray grants: of roles, types and resources that don't go together."""
    roles = st.sampled_from((None, *TENANT_ROLES, "member", "guest", *CUSTOM))
    members = {(t, p): role for t in TENANTS for p in PEOPLE if (role := draw(roles))}
    workspaces = draw(st.lists(st.sampled_from(TENANTS), min_size=1, max_size=4))
    documents = draw(st.lists(st.integers(0, len(workspaces) - 1), max_size=6))
    world = World(members, workspaces, documents, {}, draw(custom_roles()))
    resources = [(kind, number) for kind in MODELS for number in world.numbers(kind)]
    person, resource = st.sampled_from(PEOPLE), st.sampled_from(resources)
    role = st.sampled_from(
        ("owner", "admin", "editor", "viewer", "editor", "viewer", "king", *CUSTOM)
    )
    straight = st.dictionaries(st.tuples(person, resource), role, max_size=15)
    for (who, (kind, number)), given_role in draw(straight).items():
        tenant = world.tenant_of(kind, number)
        world.grants[tenant, who, kind, kind, number] = given_role
    stray = st.tuples(st.sampled_from(TENANTS), person, st.sampled_from(list(MODELS)), resource)
    for (tenant, who, said, (kind, number)), given_role in draw(
        st.dictionaries(stray, role, max_size=5)
    ).items():
        world.grants.setdefault((tenant, who, said, kind, number), given_role)
    return world


@dataclass(frozen=True)
class Stored:
    """A world in the database: who and what has which id."""

    world: World
    people: list[str]
    tenants: list[str]
    ids: dict[str, list[str]]

    def principal(self, tenant: int, person: int) -> Principal:
        """A person in a tenant."""
        role = self.world.members[tenant, person]
        return Principal(
            self.people[person], "s", "ann@x.org", "Ann", self.tenants[tenant], role=role
        )

    def named(self, kind: str, numbers: set[int]) -> set[str]:
        """The ids of resources."""
        return {self.ids[kind][number] for number in numbers}


def store(world: World, people: list[str]) -> Stored:
    """Write a world down, row by row and past all services."""
    ids = {kind: [uuid7() for _ in world.numbers(kind)] for kind in MODELS}
    stored = Stored(world, people, [uuid7() for _ in TENANTS], ids)
    with system_session("test") as session:
        for model, rows in _rows(stored):
            session.add_all([model(**row) for row in rows])
            session.flush()
    return stored


def _rows(stored: Stored) -> Iterator[tuple[Any, list[dict[str, Any]]]]:
    world, tenants, people, ids = stored.world, stored.tenants, stored.people, stored.ids
    yield Tenant, [{"id": id_, "name": "Elm"} for id_ in tenants]
    yield (
        Membership,
        [
            {"tenant_id": tenants[t], "user_id": people[p], "role": role, "spaces": ["client"]}
            for (t, p), role in world.members.items()
        ],
    )
    for (t, kind, name), held in world.custom.items():
        own = {"id": uuid7(), "tenant_id": tenants[t]}
        yield Role, [own | {"resource_type": kind, "name": name, "created_by": people[0]}]
        said = {"role_id": own["id"], "tenant_id": tenants[t]}
        yield Holding, [said | {"permission": permission} for permission in held]
    for kind, model in MODELS.items():
        yield model, [_resource(stored, kind, number) for number in world.numbers(kind)]
    yield (
        Grant,
        [
            {
                "tenant_id": tenants[t],
                "user_id": people[p],
                "resource_type": said,
                "resource_id": ids[kind][number],
                "role": role,
                "granted_by": people[0],
            }
            for (t, p, said, kind, number), role in world.grants.items()
        ],
    )


def _resource(stored: Stored, kind: str, number: int) -> dict[str, Any]:
    world, ids = stored.world, stored.ids
    row = {
        "id": ids[kind][number],
        "tenant_id": stored.tenants[world.tenant_of(kind, number)],
        "created_by": stored.people[0],
    }
    if kind == "workspace":
        return row | {"name": "Joinery"}
    workspace_id = ids["workspace"][world.documents[number]]
    return row | {"workspace_id": workspace_id, "title": "Roof", "kind": "board"}


@pytest.fixture(scope="module")
def environ() -> dict[str, str]:
    """And workspaces: grants need something to be granted on."""
    return {"TREENAIL_PLUGINS": "rbac,workspaces"}


@pytest.fixture(scope="module")
def verify(app: Flask) -> Callable[[World], None]:
    """Compare a world with the oracle, as each member of each tenant."""
    people = [make_person(app).user_id for _ in PEOPLE]

    def compare(world: World) -> None:
        with app.app_context():
            stored = store(world, people)
            for tenant, person in world.members:
                with tenant_session(stored.tenants[tenant], read_only=True) as session:
                    _compare_rights(session, stored, tenant, person)
                    _compare_roles(session, stored, tenant, person)

    return compare


def _compare_rights(session: Any, stored: Stored, tenant: int, person: int) -> None:
    principal = stored.principal(tenant, person)
    makes = principal.role in MAKE_WORKSPACES
    makes |= "workspace:create" in stored.world.in_tenant(tenant, person)[1]
    assert check(session, principal, "workspace:create").allowed == makes
    for kind, model in MODELS.items():
        asked = [*stored.ids[kind], *(ids[0] for ids in stored.ids.values() if ids)]
        for permission in sorted(set().union(*ON[kind].values())):
            expected = stored.named(kind, stored.world.allowed(tenant, person, permission, kind))
            seen = visible(principal, permission, model).with_only_columns(model.id)
            assert set(session.scalars(seen)) == expected, permission
            allowed = {x for x in asked if check(session, principal, permission, x).allowed}
            assert allowed == expected, permission


def _compare_roles(session: Any, stored: Stored, tenant: int, person: int) -> None:
    principal, world = stored.principal(tenant, person), stored.world
    for kind, model in MODELS.items():
        rows = session.scalars(select(model)).all()
        numbers = {stored.ids[kind].index(row.id) for row in rows}
        assert numbers == {n for n in world.numbers(kind) if world.tenant_of(kind, n) == tenant}
        found = roles_on(session, principal, platform.current().resource_types[kind], rows)
        expected = {stored.ids[kind][n]: world.strongest(person, kind, n) for n in numbers}
        assert found == expected


def test_the_oracle_knows_every_permission(app: Flask) -> None:
    types = app.extensions["treenail"].resource_types
    known = set().union(*ON_WORKSPACE.values(), *ON_DOCUMENT.values(), {"workspace:create"})
    assert known == types["workspace"].permissions | types["document"].permissions


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(world=worlds())
def test_check_list_and_role_agree(verify: Callable[[World], None], world: World) -> None:
    verify(world)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", range(10))
def test_check_list_and_role_agree_at_length(verify: Callable[[World], None], part: int) -> None:
    """10,000 worlds in all, in parts of which each can be run by itself."""

    @seed(20261120 + part)
    @settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(world=worlds())
    def agree(world: World) -> None:
        verify(world)

    agree()


@pytest.mark.parametrize("path", ["/documents", "/workspaces"])
def test_lists_cost_the_same_however_long(tenant, count_queries, path):
    bob, costs = tenant.member(), []
    for _ in range(4):
        workspace = tenant.owner.post("/workspaces", {"name": "Joinery"}).json["id"]
        role = {"role": "viewer"}
        tenant.owner.put(f"/workspaces/{workspace}/members/{bob.user_id}", role)
        for _ in range(3):
            body = {"title": "Roof", "kind": "board"}
            made = tenant.owner.post(f"/workspaces/{workspace}/documents", body).json["id"]
            tenant.owner.put(f"/documents/{made}/grants/{bob.user_id}", role)
        for caller in (bob, tenant.owner):
            with count_queries() as queries:
                assert len(caller.get(path).json["items"]) > 0
            costs.append(len(queries))
    assert len(set(costs[::2])) == len(set(costs[1::2])) == 1
