"""Events: written with the change, or not at all."""

import pytest
from marshmallow import fields
from sqlalchemy import select, update
from treenail import trace
from treenail.contributions import EventType
from treenail.db import db, system_session, tenant_session
from treenail.events import OutboxEvent, emit
from treenail.models import Tenant
from treenail.plugin import Plugin, hookimpl
from treenail.schemas import Moment, Schema


class Felled(Schema):
    height = fields.Integer(required=True)
    at = Moment()


class Forest(Plugin):
    name = "forest"
    version = "1.0"

    @hookimpl
    def event_types(self):
        return [
            EventType("tree.felled", Felled, "A tree was felled.", {"height": 40}),
            EventType("tree.counted", Felled, "Hidden.", {"height": 1}, internal=True),
        ]


@pytest.fixture(scope="module")
def plugins():
    return {"forest": Forest}


@pytest.fixture(scope="module")
def environ():
    return {"TREENAIL_PLUGINS": "forest"}


def test_an_event_commits_with_its_change(app, tenant, captured_events):
    cause = trace.Trace("request-1", tenant.owner.user_id, tenant.id)
    with app.app_context(), trace.tracing(cause), tenant_session(tenant.id) as session:
        session.execute(update(Tenant).where(Tenant.id == tenant.id).values(name="Felled"))
        emitted = emit(session, "tree.felled", {"height": 40}, subject="tree-1")
    (event,) = captured_events("tree.felled")
    assert (event.id, event.tenant_id, event.subject) == (emitted, tenant.id, "tree-1")
    assert (event.actor_id, event.request_id) == (tenant.owner.user_id, "request-1")
    assert event.data == {"height": 40}


def test_an_event_is_rolled_back_with_its_change(app, tenant, captured_events):
    with app.app_context(), pytest.raises(ZeroDivisionError):
        _emit_and_fail(tenant.id)
    assert captured_events("tree.felled") == []


def _emit_and_fail(tenant_id: str) -> None:
    with tenant_session(tenant_id) as session:
        emit(session, "tree.felled", {"height": 40})
        session.flush()
        raise ZeroDivisionError


def test_an_event_of_a_rolled_back_savepoint_is_gone(app, tenant, captured_events):
    with app.app_context(), tenant_session(tenant.id) as session:
        emit(session, "tree.felled", {"height": 1})
        savepoint = session.begin_nested()
        emit(session, "tree.felled", {"height": 2})
        savepoint.rollback()
    assert [e.data["height"] for e in captured_events("tree.felled")] == [1]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("tree.burnt", {}, "no plugin declares the event type tree.burnt"),
        ("tree.felled", {"height": "tall"}, "height"),
        ("tree.felled", {}, "height"),
        ("tree.felled", {"height": 1, "colour": "red"}, "colour"),
    ],
)
def test_what_was_not_declared_is_refused(app, tenant, captured_events, name, data, message):
    with (
        app.app_context(),
        tenant_session(tenant.id) as session,
        pytest.raises(ValueError, match=message),
    ):
        emit(session, name, data)
    assert captured_events(name) == []


def test_the_data_is_stored_as_the_schema_writes_it(app, captured_events):
    with app.app_context(), system_session("test") as session:
        emit(session, "tree.felled", {"height": 1, "at": "2026-11-20T07:34:00+01:00"})
    (event,) = captured_events("tree.felled")
    assert event.data["at"] == "2026-11-20T06:34:00.000Z"
    assert event.tenant_id is None


def test_a_tenants_session_can_only_emit_for_its_tenant(app, tenant, other_tenant, captured_events):
    with app.app_context(), tenant_session(tenant.id) as session:
        emit(session, "tree.felled", {"height": 1}, tenant_id=other_tenant.id)
    assert [event.tenant_id for event in captured_events("tree.felled")] == [tenant.id]


def test_nothing_runs_while_emitting(app, monkeypatch):
    hints = []
    monkeypatch.setattr(app.extensions["treenail.hints"], "send", lambda: hints.append(1))
    with app.app_context():
        with system_session("test") as session:
            with session.begin_nested():
                emit(session, "tree.felled", {"height": 1})
            assert hints == []  # a savepoint is not a commit
        assert hints == [1]
        with system_session("test") as session:
            session.execute(select(OutboxEvent.id).limit(1))
        assert hints == [1]


def test_the_catalogue_hides_what_is_internal(client):
    items = client.get("/event-types").json["items"]
    names = [item["name"] for item in items]
    assert names == sorted(names)
    assert "tree.felled" in names
    assert not {"tree.counted", "mail.queued"} & set(names)


def test_the_relay_finds_new_events_by_an_index(app):
    with app.app_context(), db.engine.connect() as connection:
        if db.engine.dialect.name == "sqlite":
            sql = "EXPLAIN QUERY PLAN SELECT id FROM core_events WHERE relayed_at IS NULL"
            plan = str(connection.exec_driver_sql(sql).all())
            assert "ix_core_events_unrelayed" in plan
