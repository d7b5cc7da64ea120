"""Background work: Huey carries hints, the database holds the truth.

Huey deletes a message before running it, so a message is never more than "look now"; a hint
that is lost costs latency until the sweep, at most a second. The queue only ever holds the
core's own task, so nothing is lost when a plugin is switched off.
"""

import threading
from collections.abc import Callable
from time import monotonic, sleep
from typing import Any

import structlog
from flask import Flask, current_app
from huey import Huey, RedisHuey, SqliteHuey
from huey.consumer import Consumer
from sqlalchemy import event
from sqlalchemy.orm import Session

from treenail import periodic, platform
from treenail.deliveries.engine import Engine
from treenail.deliveries.relay import relay
from treenail.events import HINTED
from treenail.settings import CoreSettings

COALESCED = 0.005
"""Seconds in which one hint does for all commits; whoever gets it begins no sooner."""
PERIODIC_SECONDS = 1.0
log = structlog.get_logger("treenail.tasks")


class Hints:
    """The queue of one application and its only task."""

    def __init__(self, app: Flask, settings: CoreSettings) -> None:
        self.app = app
        self.huey = _queue(settings)
        self.engine: Engine | None = None
        self._sent = 0.0
        self._look = self.huey.task(name="treenail.look")(self._tell)

    def send(self) -> None:
        """Tell a worker to look, in this process where it has one.

        Failing to is only logged, the sweep makes up for it.
        """
        if self.engine:
            self.engine.wake()
        elif monotonic() - self._sent > COALESCED:
            self._sent = monotonic()
            try:
                self._look()
            except Exception as error:  # noqa: BLE001  the change is committed already
                log.warning("hint_lost", error=str(error))

    def _tell(self) -> None:
        sleep(COALESCED)
        if self.engine:
            self.engine.wake()


@event.listens_for(Session, "after_commit")
def _hint_after_commit(session: Session) -> None:
    # A savepoint's end comes by here too: what it wrote is not there for a worker yet.
    if not session.in_nested_transaction() and session.info.pop(HINTED, False):
        current_app.extensions["treenail.hints"].send()


class Worker:
    """The engine's threads and the periodic tasks', and a Huey consumer for others' hints.

    Without ``listening`` to the queue it sees what other processes do by its sweep alone.
    """

    def __init__(self, app: Flask, threads: int = 8, *, listening: bool = True) -> None:
        self.app = app
        self.engine = Engine(app, threads)
        self._hints: Hints = app.extensions["treenail.hints"]
        self._consumer = _Consumer(
            self._hints.huey,
            workers=1,
            periodic=False,
            initial_delay=0.02,
            max_delay=0.05,
            check_worker_health=False,
        )
        self._listening = listening
        self._stopped = threading.Event()
        runs = [*[self.engine.run] * threads, self._repeat]
        self._threads = [threading.Thread(target=run, daemon=True) for run in runs]

    def start(self) -> None:
        """Begin; returns at once."""
        self._hints.engine = self.engine
        if self._listening:
            self._consumer.start()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish what runs, fan out what is new, then end.

        The next start may be without a plugin: only what is fanned out waits for its return.
        """
        self._stopped.set()
        self.engine.stop()
        if self._listening:
            self._consumer.stop(graceful=True)
        for thread in self._threads:
            thread.join()
        self._hints.engine = None
        for work in (self.engine.close, _relay_all):
            self._do(work)

    def _repeat(self) -> None:
        while not self._stopped.is_set():
            self._do(periodic.run_due)
            self._stopped.wait(PERIODIC_SECONDS)

    def _do(self, work: Callable[[], object]) -> None:
        try:
            with self.app.app_context():
                work()
        except Exception:
            log.exception("work_failed", work=work.__name__)


def _relay_all() -> None:
    while relay(platform.current().subscriptions):
        pass


class _Consumer(Consumer):  # type: ignore[misc]
    """Without signal handlers: those belong to whoever runs the process."""

    def _set_signal_handlers(self) -> None:
        pass


def _queue(settings: CoreSettings) -> Huey:
    options: dict[str, Any] = {"results": False}
    if settings.redis_url:
        # Deployments that share a Redis must not take each other's hints.
        return RedisHuey(settings.name, url=settings.redis_url, **options)
    # Apart from the application's database: Huey locks its file exclusively.
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    return SqliteHuey("treenail", filename=str(settings.data_dir / "huey.db"), **options)
