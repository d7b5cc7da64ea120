"""What was delivered can be delivered again, until it is forgotten."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from marshmallow import fields
from sqlalchemy import delete, func, select
from treenail import ids, mail
from treenail.contributions import Delivery, EventType, Policy, Subscription, Target
from treenail.db import system_session, tenant_session
from treenail.deliveries import Abandon, DeliveryRow, backlog, pruning, redeliver, replay
from treenail.events import OutboxEvent, emit
from treenail.plugin import Plugin, hookimpl
from treenail.schemas import Schema

START = datetime(2030, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
GIVEN: list[str] = []
TARGETS: list[Target] = []


class Note(Schema):
    word = fields.String(required=True)


def handle(delivery: Delivery) -> None:
    word = delivery.event.data["word"]
    GIVEN.append(f"{delivery.target}:{word}")
    if word == "bad":
        raise Abandon("bad")


class Letters(Plugin):
    name = "letters"
    version = "1.0"

    @hookimpl
    def event_types(self):
        names = ("letter.sent", "parcel.sent")
        return [EventType(name, Note, "A word.", {"word": "oak"}) for name in names]

    @hookimpl
    def subscriptions(self):
        return [Subscription("post", ("letter.*",), handle, lambda event: list(TARGETS))]


@pytest.fixture(scope="module")
def plugins():
    return {"letters": Letters}


@pytest.fixture(scope="module")
def environ():
    return {"TREENAIL_PLUGINS": "letters"}


@pytest.fixture
def clock(app, tenant, monkeypatch):
    monkeypatch.setattr(ids, "_last", 0)  # which else never go back, as this clock does
    GIVEN.clear()
    TARGETS[:] = [Target("a"), Target("b")]
    with app.app_context(), system_session("test") as session:
        session.execute(delete(OutboxEvent))
        session.execute(delete(mail.Mail))
    with time_machine.travel(START, tick=False) as travelled:
        yield travelled


@pytest.fixture
def send(tenant, app, run_tasks):
    def emitted(*words: str, name: str = "letter.sent", deliver: bool = True) -> None:
        with app.app_context(), tenant_session(tenant.id) as session:
            for word in words:
                emit(session, name, {"word": word})
        if deliver:
            run_tasks()

    return emitted


@pytest.fixture
def again(app, tenant, run_tasks):
    """Replay from so many days after the start; what is delivered then."""

    def replayed(target: str = "a", days: float = 0, **options: Any) -> list[str]:
        GIVEN.clear()
        with app.app_context(), tenant_session(tenant.id) as session:
            since = START + days * DAY
            number = replay(session, "letters.post", target, tenant.id, since=since, **options)
        run_tasks()
        assert len(GIVEN) == number
        return GIVEN

    return replayed


def count(app, model: Any) -> int:
    with app.app_context(), system_session("test", read_only=True) as session:
        return session.scalar(select(func.count()).select_from(model)) or 0


def test_a_target_is_given_its_past_again(clock, send, again):
    send("old")
    clock.shift(DAY)
    send("oak", "elm")
    send("box", name="parcel.sent")
    assert again(days=0.5) == ["a:oak", "a:elm"]
    assert again("b") == ["b:old", "b:oak", "b:elm"]
    assert again("b", until=START + DAY / 2) == ["b:old"]


def test_a_new_target_is_given_what_was_before_it(clock, send, again):
    send("oak")
    TARGETS.append(Target("new"))
    assert again("new") == ["new:oak"]
    assert again("unknown") == []


def test_only_what_failed_is_replayed_when_asked_so(clock, send, again):
    send("oak", "bad")
    assert again(fits=lambda event, status: status == "dead") == ["a:bad"]


def test_what_is_on_its_way_is_not_replayed(app, clock, send, again):
    send("oak")
    with app.app_context(), system_session("test") as session:
        session.execute(DeliveryRow.__table__.update().values(status="running", due_at=START + DAY))
    assert again() == []


def test_a_foreign_tenants_events_are_not_replayed(app, clock, send, other_tenant):
    send("oak")
    with app.app_context(), tenant_session(other_tenant.id) as session:
        assert replay(session, "letters.post", "a", other_tenant.id, since=START) == 0


def test_a_replay_keeps_the_order_of_a_line(clock, send, again):
    TARGETS[:] = [Target("a", Policy(fifo=True))]
    send(*"54321")
    assert again() == ["a:5", "a:4", "a:3", "a:2", "a:1"]


def test_one_delivery_is_made_again_once_it_is_over(app, clock, send, run_tasks):
    send("bad")
    with app.app_context(), system_session("test") as session:
        (first,) = session.scalars(select(DeliveryRow.id).where(DeliveryRow.target == "a"))
        assert redeliver(session, first)
        assert not redeliver(session, first)
    GIVEN.clear()
    run_tasks()
    assert GIVEN == ["a:bad"]


def test_what_was_delivered_long_ago_is_forgotten_in_batches(app, clock, send, monkeypatch):
    monkeypatch.setattr(pruning, "BATCH", 3)
    send(*"abcdefgh", "bad")
    clock.shift(31 * DAY)
    send("late")
    with app.app_context():
        pruning.prune()
    assert (count(app, DeliveryRow), count(app, OutboxEvent)) == (2 + 2, 1 + 1)
    clock.shift(60 * DAY)
    with app.app_context():
        pruning.prune()
    assert (count(app, DeliveryRow), count(app, OutboxEvent)) == (0, 0)


def test_what_is_not_over_is_kept_however_old(app, clock, send):
    send("oak", deliver=False)
    clock.shift(400 * DAY)
    with app.app_context():
        pruning.prune()
    assert count(app, OutboxEvent) == 1


def test_mails_are_forgotten_with_their_deliveries(app, clock, run_tasks):
    with app.app_context(), system_session("test") as session:
        mail.send(session, "ann@example.com", "Roof", "It is up.")
    run_tasks()
    with app.app_context():
        mail.prune()
        assert count(app, mail.Mail) == 1
        clock.shift(31 * DAY)
        mail.prune()
    assert count(app, mail.Mail) == 0


def test_how_late_deliveries_are_is_measured(app, clock, send, run_tasks):
    with app.app_context():
        assert backlog.lateness() == {"pending": 0}
        send("oak")
        clock.shift(5)
        assert backlog.lateness() == {"pending": 0}
        with system_session("test") as session:
            session.execute(DeliveryRow.__table__.update().values(status="pending", due_at=START))
        assert backlog.lateness() == {"pending": 5}
