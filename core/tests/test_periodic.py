"""Periodic tasks: each about every so often, by one process at a time."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
import time_machine
from sqlalchemy import delete
from treenail import periodic
from treenail.contributions import PeriodicTask
from treenail.db import system_session
from treenail.periodic import PeriodicRun, run_due
from treenail.plugin import Plugin, hookimpl

RUNS: list[datetime] = []
BEHAVE = [lambda: None]
START = datetime(2030, 1, 1, tzinfo=UTC)


def tick() -> None:
    RUNS.append(datetime.now(UTC))
    BEHAVE[0]()


class Clock(Plugin):
    name = "clock"
    version = "1.0"

    @hookimpl
    def periodic_tasks(self):
        return [PeriodicTask("tick", 10, tick, lease=100)]


@pytest.fixture(scope="module")
def plugins():
    return {"clock": Clock}


@pytest.fixture(scope="module")
def environ():
    return {"TREENAIL_PLUGINS": "clock"}


@pytest.fixture(autouse=True)
def _clean(app, monkeypatch):
    found = app.extensions["treenail"].periodic_tasks
    own = {name: t for name, t in found.items() if name.startswith("clock.")}
    monkeypatch.setattr(app.extensions["treenail"], "periodic_tasks", own)
    RUNS.clear()
    BEHAVE[0] = lambda: None
    with app.app_context(), system_session("test") as session:
        session.execute(delete(PeriodicRun))


def run(app) -> int:
    with app.app_context():
        return run_due()


def test_a_task_runs_every_so_often(app):
    with time_machine.travel(START, tick=False) as clock:
        for _ in range(6):
            run(app)
            clock.shift(5)
    assert [(at - START).seconds for at in RUNS] == [0, 10, 20]


@pytest.mark.parametrize("first", [True, False])
def test_many_processes_run_it_once(app, monkeypatch, first: bool):
    if not first:
        with time_machine.travel(datetime.now(UTC) - timedelta(days=1)):
            run(app)
        RUNS.clear()
    together = Barrier(4)
    upsert = periodic.upsert

    def at_once(*arguments: Any, **options: Any) -> bool:
        if options:  # the taking; each has seen by now that the task is due
            together.wait(10)
        return upsert(*arguments, **options)

    monkeypatch.setattr(periodic, "upsert", at_once)
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(lambda _: run(app), range(4))) == 1
    assert len(RUNS) == 1


def test_nobody_begins_while_a_long_one_runs(app):
    with time_machine.travel(START, tick=False) as clock:

        def sleep() -> None:
            clock.shift(90)
            BEHAVE[0] = lambda: None
            with ThreadPoolExecutor(1) as pool:
                assert pool.submit(run, app).result() == 0

        BEHAVE[0] = sleep
        run(app)
        assert run(app) == 1  # its ten seconds are long over


def test_one_whose_process_died_runs_again_after_its_lease(app):
    with time_machine.travel(START, tick=False) as clock, app.app_context():
        task = PeriodicTask("tick", 10, tick, lease=100)
        assert periodic._take("clock.tick", task)  # and dies
        clock.shift(99)
        assert run(app) == 0
        clock.shift(2)
        assert run(app) == 1


def test_a_failing_task_is_logged_and_runs_next_time(app, capfd):
    def fall() -> None:
        raise RuntimeError("out of joint")

    BEHAVE[0] = fall
    with time_machine.travel(START, tick=False) as clock:
        run(app)
        clock.shift(11)
        run(app)
    assert len(RUNS) == 2
