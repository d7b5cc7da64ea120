"""Deliveries: every event reaches every subscriber, however often something dies."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from marshmallow import fields
from sqlalchemy import delete, select, update
from sqlalchemy.dialects import sqlite
from treenail import platform
from treenail.contributions import Delivery, EventType, Policy, Subscription, Target
from treenail.db import bind_tenant, db, system_session
from treenail.deliveries import Abandon, DeliveryRow, RetryAfter, claims, desk, drain, engine, relay
from treenail.events import OutboxEvent, emit
from treenail.plugin import Plugin, hookimpl
from treenail.schemas import Schema
from treenail.tasks import Worker

SCHEDULE = (5, 60, 600, 3600)
START = datetime(2030, 1, 1, tzinfo=UTC)


class Note(Schema):
    word = fields.String(required=True)


class Post:
    """What the handlers were given, and how they are to behave."""

    def __init__(self) -> None:
        self.given: list[tuple[str, Delivery]] = []
        self.behave: Any = lambda delivery: None
        self.targets: Any = lambda event: [Target(policy=Policy(SCHEDULE))]

    def handle(self, name: str) -> Any:
        def handler(delivery: Delivery) -> None:
            self.given.append((name, delivery))
            if name == "post":
                self.behave(delivery)

        return handler

    def words(self, name: str = "post") -> list[str]:
        return [d.event.data["word"] for n, d in self.given if n == name]


POST = Post()


class Letters(Plugin):
    name = "letters"
    version = "1.0"

    @hookimpl
    def event_types(self):
        names = ("letter.sent", "letter.opened", "parcel.sent")
        return [EventType(name, Note, "A word.", {"word": "oak"}) for name in names]

    @hookimpl
    def subscriptions(self):
        return [
            Subscription("post", ("letter.sent",), POST.handle("post"), lambda e: POST.targets(e)),
            Subscription("letters", ("letter.*",), POST.handle("letters")),
            Subscription("sent", ("*.sent",), POST.handle("sent")),
        ]


@pytest.fixture(scope="module")
def plugins():
    return {"letters": Letters}


@pytest.fixture(scope="module")
def environ():
    return {"TREENAIL_PLUGINS": "letters"}


@pytest.fixture(autouse=True)
def _clean(app):
    POST.__init__()
    with app.app_context(), system_session("test") as session:
        session.execute(delete(DeliveryRow))
        session.execute(update(OutboxEvent).values(relayed_at=START))


@pytest.fixture
def send(app):
    def emitted(*words: str, name: str = "letter.sent") -> None:
        with app.app_context(), system_session("test") as session:
            for word in words:
                emit(session, name, {"word": word})

    return emitted


@pytest.fixture
def rows(app):
    def read(subscription: str = "letters.post") -> list[DeliveryRow]:
        with app.app_context(), system_session("test", read_only=True) as session:
            own = select(DeliveryRow).where(DeliveryRow.subscription == subscription)
            return list(session.scalars(own.order_by(DeliveryRow.id)))

    return read


def fail(delivery: Delivery) -> None:
    raise RuntimeError("splinter\0")


def test_an_event_goes_to_every_subscription_whose_pattern_fits(send, run_tasks):
    send("oak")
    send("elm", name="letter.opened")
    send("ash", name="parcel.sent")
    run_tasks()
    assert (POST.words("post"), POST.words("letters")) == (["oak"], ["oak", "elm"])
    assert POST.words("sent") == ["oak", "ash"]


def test_what_is_done_is_not_done_again(send, run_tasks, rows):
    send("oak")
    assert (run_tasks(), run_tasks()) == (3, 0)
    assert [(row.status, row.attempts) for row in rows()] == [("done", 1)]


def test_each_target_has_a_delivery_of_its_own(send, run_tasks):
    POST.targets = lambda event: [Target("a"), Target("b"), Target("a")]
    send("oak")
    run_tasks()
    assert sorted(d.target for name, d in POST.given if name == "post") == ["a", "b"]


def test_a_failure_is_tried_again_by_the_schedule_then_dead(send, run_tasks, rows):
    POST.behave = fail
    send("oak")
    with time_machine.travel(START, tick=False) as clock:
        for seconds in SCHEDULE:
            run_tasks()
            (row,) = rows()
            assert row.status == "pending"
            wait = (row.due_at - datetime.now(UTC)).total_seconds()
            assert 0.8 * seconds <= wait <= 1.2 * seconds
            clock.shift(wait - 0.1)
            assert run_tasks() == 0
            clock.shift(0.2)
        run_tasks()
    (row,) = rows()
    assert (row.status, row.attempts, len(POST.words())) == ("dead", 5, 5)
    assert row.last_error == "RuntimeError: splinter"
    assert row.finished_at is not None


def test_the_waits_differ(send, run_tasks, rows):
    POST.behave = fail
    send(*"abcdefgh")
    with time_machine.travel(START, tick=False):
        run_tasks()
    assert len({row.due_at for row in rows()}) == 8


def test_a_handler_may_ask_to_wait_longer(send, run_tasks, rows):
    def ask(delivery: Delivery) -> None:
        raise RetryAfter(120)

    POST.behave = ask
    send("oak")
    with time_machine.travel(START, tick=False):
        run_tasks()
        assert rows()[0].due_at - datetime.now(UTC) == timedelta(seconds=120)


def test_a_handler_may_give_up(send, run_tasks, rows):
    def give_up(delivery: Delivery) -> None:
        raise Abandon("no such address")

    POST.behave = give_up
    send("oak")
    run_tasks()
    assert [(row.status, row.last_error) for row in rows()] == [("dead", "no such address")]


def test_one_failing_handler_holds_up_nobody(send, run_tasks):
    POST.behave = fail
    send("oak", "elm")
    run_tasks()
    assert POST.words("letters") == ["oak", "elm"]


def test_failing_targets_hold_up_nobody_and_are_asked_again(app, send, run_tasks, rows):
    def broken(event: Any) -> Any:
        raise RuntimeError("no targets today")

    POST.targets = broken
    send("oak")
    run_tasks()
    assert (POST.words("letters"), POST.words("post")) == (["oak"], [])
    POST.targets = lambda event: [Target("a"), Target("b")]
    _due_now(app)
    run_tasks()
    assert sorted(d.target for name, d in POST.given if name == "post") == ["a", "b"]


def _due_now(app) -> None:
    with app.app_context(), system_session("test") as session:
        session.execute(update(DeliveryRow).values(due_at=START - timedelta(days=9999)))


def claim(number: int = 1) -> list[claims.Claim]:
    """What a worker would have claimed for the post when it died."""
    relay.relay(platform.current().subscriptions)
    subscriptions = {"letters.post": platform.current().subscriptions["letters.post"]}
    return claims.exchange(subscriptions, limit=number).claims


def test_a_lease_that_ran_out_is_claimed_again(app, send, run_tasks, rows):
    send("oak")
    with app.app_context():
        assert claim()
    run_tasks()
    assert POST.words() == []
    with time_machine.travel(datetime.now(UTC) + timedelta(seconds=claims.LEASE + 0.1)):
        run_tasks()
    assert POST.words() == ["oak"]
    assert [(row.status, row.attempts) for row in rows()] == [("done", 2)]


def test_a_slow_worker_cannot_overwrite_the_outcome_of_another(app, send, run_tasks, rows):
    def oversleep(delivery: Delivery) -> None:
        if delivery.attempt == 1:
            with time_machine.travel(datetime.now(UTC) + timedelta(seconds=claims.LEASE + 0.1)):
                in_thread(run_tasks)
            raise RuntimeError("too late")

    POST.behave = oversleep
    send("oak")
    run_tasks()
    assert POST.words() == ["oak", "oak"]
    assert [(row.status, row.attempts, row.last_error) for row in rows()] == [("done", 2, None)]


def in_thread(work: Any) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_a_slow_delivery_uses_up_nobodys_lease(monkeypatch, send, run_tasks):
    monkeypatch.setattr(claims, "LEASE", 0.3)
    monkeypatch.setattr(engine, "BEAT_SECONDS", 0.05)

    def slow(delivery: Delivery) -> None:
        if delivery.event.data["word"] == "slow":
            for _ in range(4):
                time.sleep(0.15)
                in_thread(run_tasks)

    POST.behave = slow
    send("slow", *"abcdef")
    run_tasks()
    assert Counter(POST.words()) == Counter(["slow", *"abcdef"])


def test_what_was_not_begun_is_given_back_to_others(monkeypatch, send, run_tasks, rows):
    monkeypatch.setattr(engine, "UNBEGUN_SECONDS", 0.1)
    monkeypatch.setattr(engine, "BEAT_SECONDS", 0.05)
    seen = []

    def hang(delivery: Delivery) -> None:
        if delivery.event.data["word"] == "slow":
            time.sleep(0.4)
            in_thread(run_tasks)
            seen.extend(POST.words())

    POST.behave = hang
    send("slow", *"abcdef")
    run_tasks()
    assert Counter(seen) == Counter(["slow", *"abcdef"])
    assert [(row.status, row.attempts, row.last_error) for row in rows()] == [("done", 1, None)] * 7


def test_a_try_that_takes_longer_than_its_lease_has_failed(monkeypatch, send, run_tasks, rows):
    monkeypatch.setattr(engine, "BEAT_SECONDS", 0.05)
    POST.targets = lambda event: [Target(policy=Policy(SCHEDULE, lease=0.1))]
    POST.behave = lambda delivery: time.sleep(0.4)
    send("oak")
    run_tasks()
    (row,) = rows()
    assert (row.status, row.failures) == ("pending", 1)
    assert row.last_error == "took longer than its lease"


def test_no_number_of_crashes_ends_a_delivery_but_it_waits_longer(app, send, rows):
    POST.targets = lambda event: [Target(policy=Policy((2, 9)))]
    send("poison")
    waits = []
    with app.app_context(), time_machine.travel(START, tick=False) as clock:
        for _ in range(8):
            began = datetime.now(UTC)
            while not claim():
                clock.shift(1)
            waits.append((datetime.now(UTC) - began).total_seconds())
    assert waits[:5] == [0, 4, 4, 4, 4]
    assert waits[5:] == [4 + 2, 4 + 9, 4 + 9]
    assert [(row.status, row.failures) for row in rows()] == [("running", 0)]


def test_many_workers_deliver_each_once(app, send, monkeypatch):
    taken = claims._claimed

    def slow(*arguments: Any) -> claims.Claim:
        time.sleep(0.002)  # between looking and claiming
        return taken(*arguments)

    monkeypatch.setattr(claims, "_claimed", slow)
    monkeypatch.setattr(desk, "LEAST", 4)
    words = [str(number) for number in range(60)]
    send(*words)
    with app.app_context():
        relay.relay(platform.current().subscriptions)  # so that all begin at once

    def work(_: int) -> int:
        with app.app_context():
            return drain()

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, range(4))) == 180
    assert Counter(POST.words()) == Counter(words)


def test_deliveries_of_a_switched_off_plugin_wait_for_it(app, send, run_tasks, monkeypatch):
    send("oak")
    found = app.extensions["treenail"]
    with app.app_context():
        relay.relay(found.subscriptions)
    with monkeypatch.context() as patch:
        patch.setattr(found, "subscriptions", {})
        assert run_tasks() == 0
        with app.app_context():
            assert claims.due_next(found.subscriptions) is None
    assert run_tasks() == 3
    assert POST.words() == ["oak"]


def test_what_a_handler_emits_is_delivered_too(app, send, run_tasks):
    def answer(delivery: Delivery) -> None:
        with system_session("test") as session:
            emit(session, "letter.opened", {"word": "answer"})

    POST.behave = answer
    send("oak")
    run_tasks()
    assert POST.words("letters") == ["oak", "answer"]


def test_each_handler_has_a_context_of_its_own(app, tenant, other_tenant, send, run_tasks, rows):
    def work(delivery: Delivery) -> None:
        bind_tenant(delivery.event.data["word"])
        db.session.execute(select(OutboxEvent.id).limit(1))

    POST.behave = work
    send(tenant.id, other_tenant.id)
    run_tasks()
    assert [row.last_error for row in rows()] == [None, None]


def test_more_events_than_a_batch_are_all_relayed(send, run_tasks):
    send(*(str(number) for number in range(relay.BATCH + 10)), name="parcel.sent")
    assert run_tasks() == relay.BATCH + 10


@pytest.mark.parametrize(
    ("build", "index"),
    [
        (lambda: claims._due(claims._no_line()), "_due"),
        (claims._due_heads, "_line"),
        (claims._waiting, "_line"),
        (claims._later, "_due"),
    ],
)
def test_due_deliveries_are_found_by_an_index(app, build, index):
    with app.app_context(), db.engine.connect() as connection:
        if db.engine.dialect.name != "sqlite":
            return
        values = {"names": ["letters.post"], "busy": [""], "moment": START, "most": 9}
        query, options = build().params(values), {"render_postcompile": True}
        sql = str(query.compile(dialect=sqlite.dialect(), compile_kwargs=options))
        places = ("x",) * sql.count("?")
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", places).all()
    assert f"ix_core_deliveries{index}" in str(plan)
    assert not re.search(r"SCAN core_(?!\w+( AS \w+)? USING)", str(plan)), plan


@pytest.fixture
def worker(app):
    running = Worker(app)
    running.start()
    yield running
    running.stop()


def wait_for(condition: Any, seconds: float = 10) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() < began + seconds
        time.sleep(0.005)
    return time.monotonic() - began


def test_a_hint_brings_an_event_in_well_under_a_second(worker, send):
    time.sleep(0.3)
    waits = []
    for word in ("oak", "elm", "ash"):
        send(word)
        waits.append(wait_for(lambda word=word: word in POST.words()))
    assert sorted(waits)[1] < 0.5


def test_a_lost_hint_costs_only_latency(app, worker, send, monkeypatch):
    monkeypatch.setattr(app.extensions["treenail.hints"], "send", lambda: None)
    send("oak")
    wait_for(lambda: POST.words())


def test_a_queue_that_does_not_answer_fails_no_request(app, send, run_tasks, monkeypatch):
    def refuse(*_: Any) -> None:
        raise ConnectionError("no queue")

    monkeypatch.setattr(app.extensions["treenail.hints"].huey, "enqueue", refuse)
    send("oak")
    run_tasks()
    assert POST.words() == ["oak"]


CHILD = """
import os, sys, time
from treenail.app import create_app
from treenail.contributions import EventType, Policy, Subscription, Target
from treenail.deliveries import drain
from treenail.plugin import Plugin, hookimpl

def hang(delivery):
    print("in the handler", flush=True)
    time.sleep(60)

class Letters(Plugin):
    name, version = "letters", "1.0"
    @hookimpl
    def subscriptions(self):
        target = Target(policy=Policy(lease=1))
        return [Subscription("post", ("letter.sent",), hang, lambda event: [target])]

with create_app(dict(os.environ), {"letters": Letters}).app_context():
    drain()
"""


def test_a_worker_killed_in_a_handler_loses_nothing(deployment, send, run_tasks, rows):
    POST.targets = lambda event: [Target(policy=Policy(lease=1))]
    send("oak")
    command = [sys.executable, "-c", CHILD]
    environ = {**os.environ, **deployment}
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "in the handler\n"
        child.send_signal(signal.SIGKILL)
    run_tasks()
    assert POST.words() == []
    wait_for(lambda: run_tasks() and POST.words())
    assert [(row.status, row.attempts) for row in rows()] == [("done", 2)]
