"""Targets don't hold each other up, some keep their order, and what is quick goes together."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import fields
from sqlalchemy import delete, select, update
from treenail.contributions import Delivery, Event, EventType, Policy, Subscription, Target
from treenail.db import system_session
from treenail.deliveries import DeliveryRow, claims, drain
from treenail.deliveries.desk import Desk
from treenail.events import OutboxEvent, emit
from treenail.plugin import Plugin, hookimpl
from treenail.schemas import Schema
from treenail.tasks import Worker

START = datetime(2030, 1, 1, tzinfo=UTC)
ORDERLY = Policy((5, 60), fifo=True)
GIVEN: list[str] = []
TOGETHER: list[list[str]] = []
BEHAVE: list[Any] = []


class Note(Schema):
    word = fields.String(required=True)


def word(delivery: Delivery) -> str:
    return delivery.event.data["word"]


def handle(delivery: Delivery) -> None:
    BEHAVE[0](delivery)
    GIVEN.append(f"{delivery.target}{word(delivery)}")


def handle_batch(deliveries: Any) -> None:
    TOGETHER.append([word(delivery) for delivery in deliveries])
    for delivery in deliveries:
        BEHAVE[0](delivery)


class Lanes(Plugin):
    name = "lanes"
    version = "1.0"

    @hookimpl
    def event_types(self):
        names = ("letter.sent", "parcel.sent", "note.sent", "card.sent")
        return [EventType(name, Note, "A word.", {"word": "oak"}) for name in names]

    @hookimpl
    def subscriptions(self):
        lines = [Target(key, ORDERLY) for key in "ab"]
        soon = [Target("", Policy((0.4,), jitter=0))]
        many = [Target(f"{number}-") for number in range(20)]
        return [
            Subscription("lines", ("letter.sent",), handle, lambda event: lines),
            Subscription("many", ("parcel.sent",), handle, lambda event: many),
            Subscription("cards", ("card.sent",), handle, lambda event: soon),
            Subscription("notes", ("note.sent",), handle, batch_handler=handle_batch),
        ]


@pytest.fixture(scope="module")
def plugins():
    return {"lanes": Lanes}


@pytest.fixture(scope="module")
def environ():
    return {"TREENAIL_PLUGINS": "lanes"}


@pytest.fixture(autouse=True)
def _clean(app):
    GIVEN.clear()
    TOGETHER.clear()
    BEHAVE[:] = [lambda delivery: None]
    with app.app_context(), system_session("test") as session:
        session.execute(delete(DeliveryRow))
        session.execute(update(OutboxEvent).values(relayed_at=START))


@pytest.fixture
def send(app):
    def emitted(name: str, *words: str, tenant_id: str | None = None) -> None:
        with app.app_context(), system_session("test") as session:
            for text in words:
                emit(session, name, {"word": text}, tenant_id=tenant_id)

    return emitted


@pytest.fixture
def statuses(app):
    def read() -> Counter[str]:
        with app.app_context(), system_session("test", read_only=True) as session:
            return Counter(session.scalars(select(DeliveryRow.status)))

    return read


def of(target: str) -> str:
    return "".join(text[1] for text in GIVEN if text[0] == target)


def test_a_target_in_order_waits_for_the_one_that_fails(send, run_tasks):
    def fail(delivery: Delivery) -> None:
        if (delivery.target, word(delivery), delivery.attempt) == ("a", "2", 1):
            raise RuntimeError("not now")

    BEHAVE[0] = fail
    with time_machine.travel(START, tick=False) as clock:
        send("letter.sent", *"1234")
        run_tasks()
        assert (of("a"), of("b")) == ("1", "1234")
        clock.shift(7)
        run_tasks()
    assert of("a") == "1234"


def test_a_target_in_order_goes_on_behind_a_dead_letter(send, run_tasks, statuses):
    def fail(delivery: Delivery) -> None:
        if (delivery.target, word(delivery)) == ("a", "2"):
            raise RuntimeError("never")

    BEHAVE[0] = fail
    with time_machine.travel(START, tick=False) as clock:
        send("letter.sent", *"123")
        for seconds in (0, 7, 80):
            clock.shift(seconds)
            run_tasks()
    assert of("a") == "13"
    assert statuses() == {"done": 5, "dead": 1}


def test_many_workers_keep_the_order_of_a_line(app, send):
    send("letter.sent", *"12345678")
    BEHAVE[0] = lambda delivery: time.sleep(0.001)

    def work(_: int) -> None:
        with app.app_context():
            while len(GIVEN) < 16:
                drain()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert (of("a"), of("b")) == ("12345678", "12345678")


@pytest.fixture
def worker(app):
    running = Worker(app, threads=8, listening=False)
    running.start()
    yield running
    running.stop()


def until(condition: Any, seconds: float = 10) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() < began + seconds
        time.sleep(0.005)
    return time.monotonic() - began


def test_targets_that_hang_hold_up_nobody(worker, send):
    released = threading.Event()
    BEHAVE[0] = lambda d: d.target in ("0-", "1-") and released.wait(10)
    try:
        send("parcel.sent", *map(str, range(40)))
        until(lambda: len(GIVEN) == 18 * 40)
    finally:
        released.set()
    until(lambda: len(GIVEN) == 20 * 40)
    assert len(set(GIVEN)) == len(GIVEN)


def test_a_try_that_ends_is_recorded_while_others_run(worker, send, statuses):
    released = threading.Event()
    BEHAVE[0] = lambda d: d.target == "0-" and released.wait(10)
    send("parcel.sent", "oak")
    try:
        until(lambda: statuses()["done"] == 19)
    finally:
        released.set()


def test_what_may_share_goes_together_by_tenant(send, run_tasks, tenant, other_tenant):
    send("note.sent", "1", "2", tenant_id=tenant.id)
    send("note.sent", "3", tenant_id=other_tenant.id)
    send("note.sent", "4", tenant_id=tenant.id)
    run_tasks()
    assert TOGETHER == [["1", "2", "4"]]
    assert GIVEN == ["3"]


def test_one_bad_event_spoils_no_batch_and_is_tried_alone(send, run_tasks, statuses):
    def fail(delivery: Delivery) -> None:
        if word(delivery) == "2":
            raise RuntimeError("bad")

    BEHAVE[0] = fail
    send("note.sent", *"123")
    run_tasks()
    assert (len(TOGETHER), GIVEN) == (1, ["1", "3"])
    assert statuses() == {"done": 2, "pending": 1}
    with time_machine.travel(datetime.fromtimestamp(time.time() + 7, UTC)):
        send("note.sent", *"45")
        run_tasks()
    assert TOGETHER[1:] == [["4", "5"]]


def test_commits_in_a_process_with_a_worker_send_nothing_to_the_queue(app, worker, send):
    hints = app.extensions["treenail.hints"]
    hints.huey.flush()
    for number in range(3):
        send("note.sent", str(number))
        assert until(lambda: len(GIVEN) + sum(map(len, TOGETHER)) > number) < 0.5  # noqa: B023
    assert len(hints.huey) == 0


def test_commits_close_together_send_one_hint(app, send):
    hints = app.extensions["treenail.hints"]
    hints.huey.flush()
    time.sleep(0.01)
    for _ in range(20):
        hints.send()
    assert len(hints.huey) == 1
    hints.huey.flush()


def test_an_idle_worker_asks_the_database_about_once_a_second(app, worker, count_queries):
    time.sleep(0.5)
    with app.app_context(), count_queries() as queries:
        time.sleep(2.2)
    asked = [query for query in queries if "core_deliveries" in str(query)]
    assert len(asked) <= 4


def test_what_is_due_later_is_tried_then(worker, send):
    at = []

    def fail(delivery: Delivery) -> None:
        at.append(time.monotonic())
        if delivery.attempt == 1:
            raise RuntimeError("not now")

    BEHAVE[0] = fail
    send("card.sent", "oak")
    until(lambda: len(at) == 2)
    assert 0.35 < at[1] - at[0] < 0.8


EVENT = Event("e", "note.sent", None, None, None, {}, START, None)


@given(st.lists(st.integers(0, 4), max_size=60), st.integers(1, 16), st.data())
@settings(max_examples=50, deadline=None)
def test_the_desk_hands_out_each_claim_once_and_never_too_many_of_a_lane(lanes, threads, data):
    subscription = Subscription("s", (), print)
    table = Desk({"s": subscription}, threads)
    made = [claims.Claim(f"{n}", "o", "s", f"{t}", 1, 0, EVENT) for n, t in enumerate(lanes)]
    table.add(made)
    running, handed = [], []
    while len(handed) < len(made) or running:
        job = table.take()
        assert not (job == [] and not running)
        if job:
            running.append(job)
            handed += job
        lanes_of = Counter(job[0].target for job in running)
        assert all(count <= max(1, threads // 4) for count in lanes_of.values())
        if not job or data.draw(st.booleans()):
            done = running.pop(data.draw(st.integers(0, len(running) - 1)))
            table.finish(done, [claims.Outcome(claim, "done", START) for claim in done])
    assert Counter(handed) == Counter(made)
    assert len(table.collect()) == len(made)
    assert table.busy() == []


def test_nothing_is_left_behind_by_a_worker_that_ends(app, send, statuses):
    BEHAVE[0] = lambda delivery: time.sleep(0.01)
    send("parcel.sent", *map(str, range(20)))
    running = Worker(app, threads=2, listening=False)
    running.start()
    until(lambda: len(GIVEN) > 5)
    running.stop()
    assert statuses() == {"done": len(GIVEN), "pending": 400 - len(GIVEN)}
