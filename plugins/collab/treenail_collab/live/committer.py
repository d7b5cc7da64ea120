"""The thread that stores rounds, so that a busy database never keeps the loop from reading."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue

from treenail_collab.live.interfaces import Entry, Journal

log = logging.getLogger(__name__)


class Committer:
    """One append at a time; ``report`` is called in this thread with whether it succeeded."""

    def __init__(self, journal: Journal, report: Callable[[bool], None]) -> None:
        self._journal = journal
        self._report = report
        self._rounds: SimpleQueue[Sequence[Entry] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="collab-committer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def commit(self, entries: Sequence[Entry]) -> None:
        """Have ``entries`` stored, all or none."""
        self._rounds.put(entries)

    def stop(self) -> None:
        """End after what was handed over; returns when the thread has ended."""
        self._rounds.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (entries := self._rounds.get()) is not None:
            try:
                self._journal.append(entries)
            except BaseException:
                log.exception("collab: %d entries could not be stored", len(entries))
                self._report(False)
            else:
                self._report(True)
