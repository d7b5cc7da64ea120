"""A condition asked about one row, with IN made EXISTS: it holds for the same rows."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import and_, not_, or_, select
from sqlalchemy.orm import Mapped, mapped_column
from treenail.db import Global, Model, system_session
from treenail.pointwise import pointwise
from treenail.testing import make_tables


class Log(Global, Model):
    __tablename__ = "sawmill_logs"
    id: Mapped[int] = mapped_column(primary_key=True)
    stack: Mapped[int | None]


class Mark(Global, Model):
    __tablename__ = "sawmill_marks"
    id: Mapped[int] = mapped_column(primary_key=True)
    log: Mapped[int | None]
    by: Mapped[int]


@pytest.fixture(scope="module", autouse=True)
def _rows(app):
    make_tables(app, Log, Mark)
    with app.app_context(), system_session("test") as session:
        session.add_all(Log(id=n, stack=n % 3 or None) for n in range(1, 9))
        session.add_all(Mark(id=n, log=n % 5 or None, by=n % 3) for n in range(1, 12))


def marked(column, by, within=None):
    chosen = select(Mark.log).where(Mark.by == by)
    return column.in_(chosen if within is None else chosen.where(within))


LEAVES = st.one_of(
    st.builds(marked, st.sampled_from([Log.id, Log.stack]), st.integers(0, 3)),
    st.builds(lambda n: Log.id > n, st.integers(0, 9)),
    st.builds(lambda n: Log.stack == n, st.integers(0, 3)),
    st.builds(lambda n: Log.stack.in_(select(Log.id).where(Log.id < n)), st.integers(0, 9)),
    st.builds(lambda n: Log.id.in_([n, n + 1]), st.integers(0, 9)),
    st.builds(lambda n: marked(Log.id, n, marked(Mark.id, n)), st.integers(0, 3)),
    st.builds(lambda n: Log.id.in_(select(Mark.log).order_by(Mark.id).limit(n)), st.integers(0, 5)),
)
CONDITIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(and_, inner, inner), st.builds(or_, inner, inner), st.builds(not_, inner)
    ),
    max_leaves=6,
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(condition=CONDITIONS)
def test_it_holds_for_the_same_rows(app, condition):
    with app.app_context(), system_session("test", read_only=True) as session:
        listed = session.scalars(select(Log.id).where(condition).order_by(Log.id)).all()
        asked = select(Log.id, pointwise(condition, Log.__table__)).order_by(Log.id)
        assert [id_ for id_, holds in session.execute(asked) if holds] == listed


def test_an_in_becomes_an_exists_that_an_index_answers():
    told = str(select(Log.id).where(pointwise(marked(Log.id, 1), Log.__table__)))
    assert "EXISTS" in told
    assert "sawmill_marks.log = sawmill_logs.id" in told


@pytest.mark.parametrize(
    "condition",
    [
        not_(marked(Log.id, 1)),
        not_(or_(marked(Log.id, 1), Log.id > 3)),
        Log.id.in_(select(Log.stack)),
        Log.id.in_(select(Mark.log).limit(2)),
        Log.id.in_(select(Mark.log).distinct().group_by(Mark.log)),
    ],
)
def test_what_would_mean_something_else_stays_as_it_is(condition):
    assert pointwise(condition, Log.__table__) is condition
