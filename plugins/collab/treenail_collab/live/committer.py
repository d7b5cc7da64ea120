"""The thread that stores rounds, so that a busy database never keeps the loop from reading."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue

from treenail_collab.live.interfaces import DocumentKey, Entry, Journal

log = logging.getLogger(__name__)

_REFUSAL_SECONDS = 1.0


class Committer:
    """One append at a time; ``report`` is told in this thread which documents were not stored."""

    def __init__(self, journal: Journal, report: Callable[[set[DocumentKey]], None]) -> None:
        self._journal = journal
        self._report = report
        self._rounds: SimpleQueue[Sequence[Entry] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="collab-committer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def commit(self, entries: Sequence[Entry]) -> None:
        """Have ``entries`` stored: in one transaction, and if it is refused one by one."""
        self._rounds.put(entries)

    def stop(self) -> None:
        """End after what was handed over; returns when the thread has ended."""
        self._rounds.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (entries := self._rounds.get()) is not None:
            self._report(self._store(entries))

    def _store(self, entries: Sequence[Entry]) -> set[DocumentKey]:
        """Store what can be; returns the documents of the rest.

        A document that was deleted while it was open must not cost the others their round. What
        fails only after a while is the database's trouble, though, and not tried again.
        """
        began = time.monotonic()
        try:
            self._journal.append(entries)
        except BaseException:
            log.exception("collab: %d entries could not be stored", len(entries))
            if len(entries) > 1 and time.monotonic() - began < _REFUSAL_SECONDS:
                return set().union(*(self._store([entry]) for entry in entries))
            return {entry.document for entry in entries}
        return set()
