"""Background work: Huey carries hints, the database holds the truth.

Huey deletes a message before running it, so a message is never more than "look now"; a hint
that is lost costs latency until the sweep, at most a second. The queue only ever holds the
core's own task, so nothing is lost when a plugin is switched off.
"""

import threading
from collections.abc import Callable
from typing import Any

import structlog
from flask import Flask, current_app
from huey import Huey, RedisHuey, SqliteHuey
from huey.consumer import Consumer
from sqlalchemy import event
from sqlalchemy.orm import Session

from treenail import periodic, platform
from treenail.clock import utcnow
from treenail.deliveries import drain, engine
from treenail.deliveries.relay import relay
from treenail.events import HINTED
from treenail.settings import CoreSettings

SWEEP_SECONDS = 1.0
log = structlog.get_logger("treenail.tasks")


class Hints:
    """The queue of one application and its only task."""

    def __init__(self, app: Flask, settings: CoreSettings) -> None:
        self.app = app
        self.huey = _queue(settings)
        self._look = self.huey.task(name="treenail.look")(self._drain)

    def send(self) -> None:
        """Tell a worker to look; failing to is only logged, the sweep makes up for it."""
        try:
            self._look()
        except Exception as error:  # noqa: BLE001  the change is committed already
            log.warning("hint_lost", error=str(error))

    def _drain(self) -> int:
        with self.app.app_context():
            return drain()


@event.listens_for(Session, "after_commit")
def _hint_after_commit(session: Session) -> None:
    # A savepoint's end comes by here too: what it wrote is not there for a worker yet.
    if not session.in_nested_transaction() and session.info.pop(HINTED, False):
        current_app.extensions["treenail.hints"].send()


class Worker:
    """A Huey consumer and the sweep, in threads of this process."""

    def __init__(self, app: Flask, threads: int = 2) -> None:
        hints: Hints = app.extensions["treenail.hints"]
        self.app = app
        self._consumer = _Consumer(
            hints.huey,
            workers=threads,
            periodic=False,
            initial_delay=0.02,
            max_delay=0.05,
            check_worker_health=False,
        )
        self._stopped = threading.Event()
        # Apart, so that a long periodic task doesn't keep the sweep waiting.
        self._loops = [
            threading.Thread(target=self._repeat, args=(work,), name=work.__name__, daemon=True)
            for work in (_sweep, periodic.run_due)
        ]

    def start(self) -> None:
        """Begin; returns at once."""
        self._consumer.start()
        for loop in self._loops:
            loop.start()

    def stop(self) -> None:
        """Finish what runs, fan out what is new, then end.

        The next start may be without a plugin: only what is fanned out waits for its return.
        """
        self._stopped.set()
        self._consumer.stop(graceful=True)
        for loop in self._loops:
            loop.join()
        self._do(_relay_all)

    def _repeat(self, work: Callable[[], int]) -> None:
        while not self._stopped.is_set():
            self._do(work)
            self._stopped.wait(SWEEP_SECONDS)

    def _do(self, work: Callable[[], int]) -> None:
        try:
            with self.app.app_context():
                work()
        except Exception:
            log.exception("sweep_failed", work=work.__name__)


def _sweep() -> int:
    due = engine.next_due()
    return drain() if due is not None and due <= utcnow() else 0


def _relay_all() -> int:
    total = 0
    while found := relay(platform.current().subscriptions):
        total += found
    return total


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
