"""Permissions: the check, the list and the reason come from the same rules, so they agree."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import ColumnElement, String, and_, not_, or_, select
from sqlalchemy.orm import Mapped, mapped_column
from treenail import permissions
from treenail.contributions import Parent, ResourceType, Rule
from treenail.db import Identified, Model, Tenanted, tenant_session
from treenail.errors import NotFound, PermissionDenied
from treenail.ids import uuid7
from treenail.permissions import authorize, check, visible
from treenail.plugin import Plugin, hookimpl
from treenail.principal import Principal
from treenail.testing import make_tables

READ, CUT = "board:read", "board:cut"


class Board(Identified, Tenanted, Model):
    __tablename__ = "timber_boards"
    kind: Mapped[str] = mapped_column(String(20))
    length: Mapped[int]


class Timber(Plugin):
    """Its rules are whatever a test says."""

    name = "timber"
    version = "1.0"
    said: Any = staticmethod(lambda permission: [])

    @hookimpl
    def resource_types(self):
        roles = {"owner": frozenset({READ, CUT}), "viewer": frozenset({READ})}
        tenant = Parent("tenant", Board.tenant_id)
        creators = frozenset({"owner"})
        return [
            ResourceType("board", roles, parent=tenant, model=Board, creators=creators),
            ResourceType("saw", {"owner": frozenset({"saw:use"})}),
        ]

    @hookimpl
    def rules(
        self, principal: Principal, permission: str, resource_type: ResourceType
    ) -> Iterable[Rule]:
        return Timber.said(permission)


@pytest.fixture(scope="module")
def plugins():
    return {"timber": Timber}


@pytest.fixture(scope="module")
def environ():
    return {"TREENAIL_PLUGINS": "timber"}


@pytest.fixture(scope="module", autouse=True)
def _tables(app):
    make_tables(app, Board)


@pytest.fixture
def session(app, tenant):
    with app.app_context(), tenant_session(tenant.id) as session:
        for number in range(6):
            session.add(Board(kind=("oak", "elm")[number % 2], length=number))
        session.flush()
        yield session


@pytest.fixture
def somebody(tenant) -> Principal:
    return Principal(tenant.owner.user_id, "s", "a@example.com", "Ann", tenant.id, role="member")


def say(*rules: Rule, only: str | None = None) -> None:
    Timber.said = staticmethod(lambda permission: rules if only in (None, permission) else ())


def allow(where: ColumnElement[bool], reason: str = "allowed") -> Rule:
    return Rule("allow", where, reason)


def deny(where: ColumnElement[bool], reason: str = "denied") -> Rule:
    return Rule("deny", where, reason)


def lengths(session, principal: Principal, permission: str = READ) -> list[int]:
    return sorted(b.length for b in session.scalars(visible(principal, permission, Board)))


def board(session, length: int) -> str:
    return session.query(Board).filter_by(length=length).one().id


def test_no_rule_is_a_deny(session, somebody):
    say()
    decision = check(session, somebody, READ, board(session, 0))
    assert (decision.allowed, decision.reason) == (False, "nothing grants it")
    assert lengths(session, somebody) == []


def test_an_allow_shows_in_check_list_and_reason(session, somebody):
    say(allow(Board.kind == "oak", "oak is everybody's"))
    decision = check(session, somebody, READ, board(session, 2))
    assert (decision.allowed, decision.reason) == (True, "oak is everybody's")
    assert not check(session, somebody, READ, board(session, 1)).allowed
    assert lengths(session, somebody) == [0, 2, 4]


def test_a_deny_beats_an_allow(session, somebody):
    say(allow(Board.kind == "oak"), deny(Board.length > 3, "too long"), allow(Board.length == 5))
    assert check(session, somebody, READ, board(session, 4)).reason == "too long"
    assert not check(session, somebody, READ, board(session, 5)).allowed
    assert lengths(session, somebody) == [0, 2]


def test_a_deny_alone_allows_nothing(session, somebody):
    say(deny(Board.length > 3))
    assert lengths(session, somebody) == []


def test_an_unknown_condition_does_not_allow(session, somebody):
    say(allow(Board.kind.in_([None])))
    assert lengths(session, somebody) == []
    assert not check(session, somebody, READ, board(session, 1)).allowed


def test_an_unknown_condition_denies(session, somebody):
    say(allow(Board.length >= 0), deny(Board.kind.in_([None]), "unknown"))
    assert check(session, somebody, READ, board(session, 1)).reason == "unknown"
    assert lengths(session, somebody) == []


def test_rules_that_break_deny_in_check_and_list(session, somebody):
    def broken(permission: str) -> Any:
        yield allow(Board.length >= 0)
        raise RuntimeError("splinter")

    Timber.said = staticmethod(broken)
    assert check(session, somebody, READ, board(session, 1)).reason == "a rule failed"
    assert lengths(session, somebody) == []


def test_what_may_not_be_seen_is_not_found_and_the_rest_is_forbidden(session, somebody):
    say(allow(Board.kind == "oak"), only=READ)
    with pytest.raises(PermissionDenied) as error:
        authorize(session, somebody, CUT, board(session, 0))
    assert error.value.extra == {"permission": CUT}
    with pytest.raises(NotFound):
        authorize(session, somebody, CUT, board(session, 1))
    with pytest.raises(NotFound):
        authorize(session, somebody, CUT, "01890a5d-ac96-774b-bcce-b302099a8057")


def test_another_tenants_resource_does_not_exist(app, tenant, other_tenant, somebody):
    say(allow(Board.length >= 0))
    with app.app_context():
        with tenant_session(tenant.id) as session:
            session.add(made := Board(kind="oak", length=9))
        for owner, exists in ((tenant, True), (other_tenant, False)):
            with tenant_session(owner.id, read_only=True) as session:
                assert check(session, somebody, READ, made.id).exists is exists


def test_a_type_without_a_model_is_decided_in_the_tenant(session, somebody):
    say(only="nothing")
    with pytest.raises(PermissionDenied):
        authorize(session, somebody, "saw:use")
    owner = Principal(
        somebody.user_id, "s", "a@example.com", "Ann", somebody.tenant_id, role="owner"
    )
    authorize(session, owner, "saw:use")


def test_an_unknown_permission_is_an_error(app):
    with app.app_context(), pytest.raises(KeyError):
        permissions.resource_type_of("board:burn")


def test_creating_is_decided_on_the_parent(app):
    with app.app_context():
        assert permissions.resource_type_of("board:create").name == "tenant"
        kind = permissions.resource_type_of("tenant:read")
        assert permissions.holders("board:create", kind) == {"owner"}


ATOMS = st.one_of(
    st.sampled_from([Board.kind == "oak", Board.kind == "elm", Board.kind.in_([None])]),
    st.integers(-1, 6).map(lambda n: Board.length == n),
    st.integers(-1, 6).map(lambda n: Board.length < n),
)
CONDITIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        inner.map(not_),
        st.tuples(inner, inner).map(lambda pair: and_(*pair)),
        st.tuples(inner, inner).map(lambda pair: or_(*pair)),
    ),
    max_leaves=4,
)
RULES = st.lists(st.builds(Rule, st.sampled_from(["allow", "deny"]), CONDITIONS, st.just("r")))


@settings(
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(rules=RULES)
def test_the_list_is_exactly_what_the_check_allows(session, somebody, rules: list[Rule]):
    say(*rules)
    somebody = replace(somebody, session_id=uuid7())  # rules are asked once for each principal
    boards = session.query(Board).all()
    checked = {b.id for b in boards if check(session, somebody, READ, b.id).allowed}
    assert checked == {b.id for b in session.scalars(visible(somebody, READ, Board))}


def test_a_rule_says_more_closely_why_only_when_asked(session, tenant, monkeypatch):
    oak = session.scalars(select(Board.id).where(Board.kind == "oak")).first()
    asked = []

    def closer(session, resource_id):
        asked.append(resource_id)
        return "oaks of the north"

    rule = Rule("allow", Board.kind == "oak", "oaks", closer)
    monkeypatch.setattr(Timber, "said", staticmethod(lambda permission: [rule]))
    principal = Principal("u", "s", "a@example.com", "Ann", tenant.id)
    assert (check(session, principal, READ, oak).reason, asked) == ("oaks", [])
    assert permissions.explain(session, principal, READ, oak).reason == "oaks of the north"
    assert asked == [oak]
