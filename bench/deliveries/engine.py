"""What a delivery costs: processor time per event, events per second, latency, idling.

Fresh deployments on this machine: SQLite, and PostgreSQL with Redis where they answer. Events
are written by `emit` and delivered by the engine as it runs in `treenail serve` and `worker`.
"""

import argparse
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any

from flask import Flask
from marshmallow import fields
from rich.console import Console
from rich.table import Table
from treenail import migrate
from treenail.app import create_app
from treenail.contributions import Delivery, EventType, Subscription, Target
from treenail.db import db, system_session, tenant_session
from treenail.deliveries import drain
from treenail.events import emit
from treenail.plugin import Plugin, hookimpl
from treenail.schemas import Schema
from treenail.tasks import Worker
from treenail.testing import databases
from treenail.testing.callers import make_tenant
from treenail.testing.injected import Injected

TARGETS = 100
HANG_SECONDS = 3.0
Result = dict[str, Any]


class Sent(Schema):
    """When an event was committed, by the machine's monotonic clock, in seconds."""

    at = fields.Float(required=True)


class Bench(Plugin):
    """Handlers that do nothing but notice; those of one target may hang."""

    name = "bench"
    version = "1.0"
    waits: list[float] = []
    hangs = False

    @hookimpl
    def event_types(self) -> list[EventType]:
        """One for each measurement."""
        names = ("bench.timed", "bench.queued", "bench.spread")
        return [EventType(name, Sent, "Measured.", {"at": 1.0}) for name in names]

    @hookimpl
    def subscriptions(self) -> list[Subscription]:
        """One for each measurement."""
        spread = [Target(f"{number}") for number in range(TARGETS)]
        return [
            Subscription("timed", ("bench.timed",), self.note),
            Subscription("queued", ("bench.queued",), lambda delivery: None),
            Subscription("spread", ("bench.spread",), self.visit, lambda event: spread),
        ]

    def note(self, delivery: Delivery) -> None:
        """Note how long it took from the commit to here."""
        self.waits.append(time.monotonic() - delivery.event.data["at"])

    def visit(self, delivery: Delivery) -> None:
        """A receiver that takes 2 ms, or hangs."""
        if delivery.target == "0":
            time.sleep(HANG_SECONDS if Bench.hangs else 0.002)
        else:
            time.sleep(0.002)
            self.note(delivery)


PLUGINS: dict[str, type[Plugin]] = {"bench": Bench, "injected": Injected}


def send(name: str, count: int = 1) -> None:
    """Commit so many events together."""
    with system_session("bench") as session:
        for _ in range(count):
            emit(session, name, {"at": time.monotonic()})


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait; raises `TimeoutError`."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the deliveries don't come to an end")
        time.sleep(0.01)


@contextmanager
def measured() -> Iterator[Result]:
    """The block's wall and processor time (of all threads), in seconds."""
    found: Result = {}
    wall, cpu = time.perf_counter(), time.process_time()
    yield found
    found |= {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


@contextmanager
def working(app: Flask) -> Iterator[None]:
    """A worker inside, as `treenail serve` has it."""
    worker = Worker(app)
    worker.start()
    try:
        time.sleep(0.5)
        yield
    finally:
        worker.stop()


def activity(app: Flask, queued: int, single: int) -> Result:
    """Milliseconds of processor per event for the feed of a workspace: queued, one by one."""
    tenant = make_tenant(app)
    workspace = tenant.owner.post("/workspaces", {"name": "Shop"}).json["id"]

    def change(count: int) -> None:
        with tenant_session(tenant.id) as session:
            for _ in range(count):
                data = {"workspaceId": workspace, "name": "Shop"}
                emit(session, "workspace.updated", data, subject=f"workspace/{workspace}")

    with app.app_context():
        drain()
        change(queued)
        with measured() as together:
            drain()
        alone = 0.0
        for _ in range(single):
            change(1)
            with measured() as each:
                drain()
            alone += each["cpu"]
    return {"queued": together["cpu"] / queued * 1e3, "single": alone / single * 1e3}


def throughput(app: Flask, count: int) -> Result:
    """Events per second, of a queue that is there already, to a handler that does nothing."""
    with app.app_context():
        for _ in range(count // 1000):
            send("bench.queued", 1000)
        with measured() as found:
            tries = drain()
    return {"perSecond": tries / found["wall"], "cpuMicroseconds": found["cpu"] / tries * 1e6}


def latency(app: Flask, count: int, inside: bool) -> Result:
    """Milliseconds from commit to handler, with a worker inside or in a process of its own."""
    Bench.waits.clear()
    with app.app_context(), working(app) if inside else nullcontext():
        for _ in range(count):
            send("bench.timed")
            time.sleep(0.015)
        if not inside:
            return {}
        until(lambda: len(Bench.waits) >= count)
    return spread_of(Bench.waits)


def idle(app: Flask, seconds: float) -> Result:
    """Milliseconds of processor a second that a worker takes which has nothing to do."""
    with working(app), measured() as found:
        time.sleep(seconds)
    return {"cpuMsPerSecond": found["cpu"] / found["wall"] * 1e3}


def fairness(app: Flask, events: int) -> Result:
    """Waits of 99 targets, in ms, while the hundredth answers and while it hangs."""
    found: Result = {}
    for name, hangs in (("all answer", False), ("one hangs", True)):
        Bench.hangs = hangs
        Bench.waits.clear()
        with app.app_context(), working(app):
            for _ in range(events):
                send("bench.spread")
                time.sleep(0.2)
            until(lambda: len(Bench.waits) >= events * (TARGETS - 1))
        found[name] = spread_of(Bench.waits)
    found["ratioOfP99"] = found["one hangs"]["p99"] / found["all answer"]["p99"]
    return found


def spread_of(waits: list[float]) -> Result:
    """Median and 99th percentile, in milliseconds."""
    return {"p50": median(waits) * 1e3, "p99": quantiles(waits, n=100)[98] * 1e3}


def apart(app: Flask, settings: Mapping[str, str], count: int) -> Result:
    """The latency to a worker in a process of its own, which hears of commits by the queue."""
    command = [sys.executable, __file__, "--worker", str(count)]
    environ = {**os.environ, **settings}
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        child.stdout.readline()
        latency(app, count, inside=False)
        found: Result = json.loads(child.stdout.readline())
    return found


def be_worker(count: int) -> None:
    """That process."""
    with working(create_app(dict(os.environ), PLUGINS)):
        print("works", flush=True)
        until(lambda: len(Bench.waits) >= count)
    print(json.dumps(spread_of(Bench.waits)), flush=True)


@contextmanager
def deployment(backend: str) -> Iterator[dict[str, str]]:
    """Settings of a fresh deployment."""
    with TemporaryDirectory(prefix="bench-deliveries-") as folder:
        data = Path(folder, "data")
        data.mkdir()
        kind: Any = databases.SQLite(Path(folder))
        if backend == "postgresql":
            kind = databases.PostgreSQL(f"treenail_bench_{os.getpid()}_{secrets.token_hex(3)}")
        own = {
            "TREENAIL_DATA": str(data),
            "TREENAIL_LOG_LEVEL": "ERROR",
            "TREENAIL_PLUGINS": "auth,rbac,workspaces,bench,injected",
            "TREENAIL_RATE_LIMITS": "off",
        }
        try:
            yield own | kind.copy(data, "bench", lambda more: upgrade({**own, **more}))
        finally:
            kind.close()


def upgrade(settings: Mapping[str, str]) -> None:
    """Make the tables."""
    app = create_app(settings, PLUGINS, check_database=False)
    with app.app_context():
        migrate.upgrade(app.extensions["treenail"].registry)
        db.engine.dispose()


def measure(backend: str, quick: bool) -> Result:
    """Everything, on one kind of database."""
    part = 10 if quick else 1
    with deployment(backend) as settings:
        app = create_app(settings, PLUGINS)
        found = {
            "activity": activity(app, 2000 // part, 300 // part),
            "throughput": throughput(app, 20_000 // part),
            "latency inside": latency(app, 200 // part, inside=True),
            "latency apart": apart(app, settings, 200 // part),
            "idle": idle(app, 10 / part),
            "fairness": fairness(app, 20 // part),
        }
        with app.app_context():
            db.engine.dispose()
    return found


def show(results: Mapping[str, Result]) -> None:
    """A table for people."""
    table = Table("", *results)
    rows = {
        "activity, 2,000 queued: CPU ms an event": ("activity", "queued"),
        "activity, one by one: CPU ms an event": ("activity", "single"),
        "20,000 queued: events a second": ("throughput", "perSecond"),
        "commit to handler, worker inside: ms p50": ("latency inside", "p50"),
        "commit to handler, worker apart: ms p50": ("latency apart", "p50"),
        "idle worker: CPU ms a second": ("idle", "cpuMsPerSecond"),
        "one of 100 hangs: p99 of the others, times": ("fairness", "ratioOfP99"),
    }
    for title, (part, key) in rows.items():
        table.add_row(title, *(f"{found[part][key]:,.2f}" for found in results.values()))
    Console().print(table)


def main() -> int:
    """Measure, show, and say by the exit code whether what is promised holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=["sqlite", "postgresql"])
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.worker:
        be_worker(wanted.worker)
        return 0
    backends = [wanted.backend] if wanted.backend else ["sqlite"]
    if not wanted.backend and databases.services_answer() is None:
        backends.append("postgresql")
    results = {backend: measure(backend, wanted.quick) for backend in backends}
    if wanted.json:
        print(json.dumps(results, indent=2))
    else:
        show(results)
    return 0 if all(map(promised, results.values())) else 1


def promised(found: Result) -> bool:
    """Whether the latencies and the fairness are what they are to be."""
    quick: bool = found["latency inside"]["p50"] < 50
    fair: bool = found["fairness"]["ratioOfP99"] <= 2
    calm: bool = found["idle"]["cpuMsPerSecond"] < 20
    return quick and fair and calm


if __name__ == "__main__":
    sys.exit(main())
