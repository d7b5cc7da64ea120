"""Threads that answer requests: few at a time, more when those are held up.

Python runs one thread at a time. Eight requests that share it by turns are each done eight
times as late, and pay for the turns: with two threads the 99th percentile is a quarter, at the
same rate. But two that wait for something (a password's hash, somebody else's answer) would
leave everybody waiting. So a thread that says it stands `aside`, or that has been at a request
for long, is stood in for by another.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

PATIENCE = 0.05
_local = threading.local()


class Turns(Executor):
    """An executor with ``steady`` threads at work, and at most ``most`` altogether."""

    def __init__(self, steady: int, most: int) -> None:
        self._work: SimpleQueue[Any] = SimpleQueue()
        self._steady, self._most = min(steady, most), most
        self._lock = threading.Lock()
        self._threads = 0
        self._away = 0  # of them standing aside
        self._since: dict[int, float] = {}  # when each began what it is at
        self._waits = threading.Event()
        self._over = False
        for _ in range(self._steady):
            self._add()
        threading.Thread(target=self._watch, name="turns", daemon=True).start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        """Run it when a thread is free, in the order of submission."""
        future: Future[Any] = Future()
        self._work.put((future, fn, args, options))
        if not self._waits.is_set():
            self._waits.set()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the threads end after what they are at."""
        self._over = True
        self._waits.set()
        for _ in range(self._most):
            self._work.put(None)

    def stand_aside(self) -> None:
        """Have another thread work while this one waits."""
        with self._lock:
            self._away += 1
            if self._threads - self._away < self._steady and self._threads < self._most:
                self._add()

    def come_back(self) -> None:
        """Work on; one of those at work ends when it is done."""
        with self._lock:
            self._away -= 1

    def _add(self) -> None:
        self._threads += 1
        threading.Thread(target=self._run, name="request", daemon=True).start()

    def _run(self) -> None:
        _local.turns = self
        me = threading.get_ident()
        while (item := self._work.get()) is not None:
            future, fn, args, options = item
            self._since[me] = time.monotonic()
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(fn(*args, **options))
                except BaseException as error:  # noqa: BLE001  it is the future's
                    future.set_exception(error)
            del item, future, fn, args, options, self._since[me]
            if self._is_too_many():
                return

    def _is_too_many(self) -> bool:
        if self._threads - self._away <= self._steady:
            return False
        with self._lock:
            if self._threads - self._away - self._held_up() <= self._steady:
                return False
            self._threads -= 1
            return True

    def _held_up(self) -> int:
        """How many have been at one thing for long."""
        long_ago = time.monotonic() - PATIENCE
        return sum(since < long_ago for since in list(self._since.values()))

    def _watch(self) -> None:
        """Stand in for those held up, as long as work waits."""
        while not self._over:
            self._waits.wait()
            time.sleep(PATIENCE)
            if self._work.empty():
                self._waits.clear()
                continue
            with self._lock:
                if self._threads - self._held_up() < self._steady and self._threads < self._most:
                    self._add()


@contextmanager
def aside() -> Iterator[None]:
    """A block in which the request's thread waits for what needs no Python."""
    turns: Turns | None = getattr(_local, "turns", None)
    if turns is None:
        yield
        return
    turns.stand_aside()
    try:
        yield
    finally:
        turns.come_back()
