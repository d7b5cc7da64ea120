"""The thread that tells the journal which documents nobody has open any more.

Not the committer's: compaction may take a second, and meanwhile nothing could be stored.
"""

from __future__ import annotations

import logging
import threading
from queue import SimpleQueue

from treenail_collab.live.interfaces import DocumentKey, Journal

log = logging.getLogger(__name__)


class Housekeeper:
    """Calls ``Journal.released`` for one document after another."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._released: SimpleQueue[DocumentKey | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="collab-housekeeper", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def released(self, document: DocumentKey) -> None:
        """Have the journal told."""
        self._released.put(document)

    def stop(self) -> None:
        """End after what was handed over; returns when the thread has ended."""
        self._released.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (document := self._released.get()) is not None:
            try:
                self._journal.released(document)
            except Exception:
                log.exception("collab: the journal failed on a released document")
