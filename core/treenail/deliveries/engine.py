"""The engine: claims due deliveries under a lease, tries them, records what came of it.

At least once. The threads of a worker share one desk: whoever finds nothing to try looks for
more, in one transaction that also records what was tried meanwhile and relays new events; one
at a time looks, and while nothing is to be had waits for a hint or the next due time.
"""

import threading
from collections.abc import Mapping, Sequence
from datetime import datetime

import structlog
from flask import Flask, current_app

from treenail.clock import utcnow
from treenail.contributions import Subscription
from treenail.deliveries import claims as held
from treenail.deliveries.claims import Claim
from treenail.deliveries.desk import Desk
from treenail.deliveries.relay import BATCH
from treenail.deliveries.tries import attempt, failed

SWEEP_SECONDS = 1.0
BEAT_SECONDS = 1.0
UNBEGUN_SECONDS = 2.0
"""After these another worker may have what was claimed and not begun."""
log = structlog.get_logger("treenail.deliveries")


def drain() -> int:
    """Relay and deliver until nothing is due; returns the number of tries made.

    Safe to call from any number of workers at once.
    """
    engine = Engine(current_app._get_current_object())  # type: ignore[attr-defined]
    try:
        return engine.drain()
    finally:
        engine.close()


class Engine:
    """One worker's deliveries; any number of threads run it."""

    def __init__(self, app: Flask, threads: int = 1) -> None:
        self.app = app
        self.subscriptions: Mapping[str, Subscription] = app.extensions["treenail"].subscriptions
        self._desk = Desk(self.subscriptions, threads)
        self._lock = threading.RLock()
        self._lookout = threading.Condition(self._lock)  # where one thread waits for hints,
        self._bench = threading.Condition(self._lock)  # and where the others wait for work
        self._idle = self._looking = self._stopped = False
        self._news = True
        self._due: datetime | None = None
        self._closed = threading.Event()
        self._heart: threading.Thread | None = None

    def drain(self) -> int:
        """Deliver until nothing is due, in this thread; returns the number of tries made."""
        tries = 0
        while True:
            if self._desk.wants_recording():
                self._look()
            if claims := self._desk.take():
                self._try(claims)
                tries += len(claims)
            elif not self._look():
                return tries

    def run(self) -> None:
        """Deliver what falls due until the engine is stopped."""
        with self.app.app_context():
            while not self._stopped:
                try:
                    if claims := self._next():
                        self._try(claims)
                except Exception:
                    log.exception("look_failed")
                    self._closed.wait(SWEEP_SECONDS)

    def wake(self) -> None:
        """There may be something to deliver."""
        with self._lock:
            self._news = True
            self._lookout.notify()

    def stop(self) -> None:
        """Let every thread end when it has done what it does."""
        with self._lock:
            self._stopped = True
            self._lookout.notify_all()
            self._bench.notify_all()

    def close(self) -> None:
        """Record what was done and give back what was not begun; no thread runs it any more."""
        self._closed.set()
        if self._heart:
            self._heart.join()
        held.give_back(self._desk.unbegun(0))
        held.settle(self._desk.collect())

    def _try(self, claims: Sequence[Claim]) -> None:
        outcomes = attempt(claims, self.subscriptions[claims[0].subscription])
        with self._lock:
            self._desk.finish(claims, outcomes)

    def _next(self) -> list[Claim]:
        """The next claims to try; none where this thread did something else meanwhile."""
        with self._lock:
            unrecorded = self._desk.wants_recording() and not self._looking
            if claims := [] if unrecorded else self._desk.take():
                if not self._idle:
                    self._bench.notify()  # somebody has to keep the lookout
                return claims
            if self._looking or not (self._news or self._desk.has_outcomes()):
                self._rest()
                return []
            self._looking = True
        try:
            self._look()
        finally:
            with self._lock:
                self._looking = False
        return []

    def _rest(self) -> None:
        """Wait for work; one thread on the lookout, where it also sees when something is due."""
        if self._stopped:
            return
        if self._idle or self._looking:
            self._bench.wait()
            return
        self._idle = True
        try:
            until_due = (self._due - utcnow()).total_seconds() if self._due else SWEEP_SECONDS
            if not self._lookout.wait(min(SWEEP_SECONDS, max(0, until_due))):
                self._sweep()
        finally:
            self._idle = False

    def _sweep(self) -> None:
        """See whether something is due that nobody told of."""
        if self._due is None or self._due > utcnow():
            self._due = held.due_next(self.subscriptions)
        if self._due and self._due <= utcnow():
            self._news, self._due = True, None

    def _look(self) -> bool:
        """Record, relay and claim; returns whether there was anything to do."""
        with self._lock:
            self._news = False
            outcomes, busy, room = self._desk.collect(), self._desk.busy(), self._desk.room()
        try:
            found = held.exchange(self.subscriptions, outcomes, busy, room)
        except BaseException:
            with self._lock:
                self._news = True
                self._desk.restore(outcomes)
            raise
        with self._lock:
            self._desk.add(found.claims)
            self._due = found.due
            self._news |= found.events >= BATCH or len(found.claims) >= room > 0
            self._call(len(found.claims) - 1)
        return bool(found.events or found.claims)

    def _call(self, threads: int) -> None:
        """Let so many others come for work, and the heart beat for what is held."""
        if threads > 0:
            self._bench.notify(threads)
            self._lookout.notify()
        if threads >= 0 and self._heart is None:
            self._heart = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
            self._heart.start()

    def _beat(self) -> None:
        while not self._closed.wait(BEAT_SECONDS):
            try:
                with self.app.app_context():
                    self._keep()
            except Exception:
                log.exception("heartbeat_failed")

    def _keep(self) -> None:
        """Keep what is being tried, give back what waits too long, end what takes too long."""
        with self._lock:
            overdue, unbegun = self._desk.overdue(), self._desk.unbegun(UNBEGUN_SECONDS)
            outcomes = self._desk.collect() if self._desk.wants_recording() else []
            kept = self._desk.held(BEAT_SECONDS)
        held.renew(kept)
        held.give_back(unbegun)
        held.settle(
            [*outcomes, *(failed(claim, "took longer than its lease") for claim in overdue)]
        )
