"""The sentinel: acts on open sockets when what their people may do has changed.

One query a round, over the tenants and people who have something open; only where an epoch
moved are their sockets asked about anew. It sees changes made by any process. Beside that, a
socket is asked about when it is new (its epoch may have moved between its admission and the
first round that knew it) and once a minute (a session also ends by itself, which moves nothing).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic

import structlog
from flask import Flask
from treenail import epochs
from treenail.db import system_session

from treenail_collab import admission
from treenail_collab.journal import DatabaseJournal
from treenail_collab.live.hub import Hub
from treenail_collab.live.interfaces import Peer

log = structlog.get_logger("treenail.collab")
ALWAYS_AFTER = 60.0


class Sentinel:
    """Two threads beside the hub, which begin with the first socket.

    One watches rights, the other folds up logs that have grown long: that may take a while.
    """

    def __init__(self, app: Flask, hub: Hub, journal: DatabaseJournal, seconds: float) -> None:
        self._app = app
        self._hub = hub
        self._journal = journal
        self._seconds = seconds
        self._seen: dict[str, int] = {}
        self._checked: dict[int, float] = {}
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def wake(self) -> None:
        """Make sure that it watches."""
        with self._lock:
            if self._threads or self._ended.is_set():
                return
            for name, work in (("collab-sentinel", self._round), ("collab-folder", self._fold)):
                thread = threading.Thread(target=self._watch, args=(work,), name=name, daemon=True)
                self._threads.append(thread)
                thread.start()

    def close(self) -> None:
        """End the threads."""
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _watch(self, work: Callable[[], None]) -> None:
        while not self._ended.wait(self._seconds):
            try:
                with self._app.app_context():
                    work()
            except Exception:
                log.exception("sentinel_failed")

    def _fold(self) -> None:
        for document in self._journal.overgrown():
            try:
                self._journal.compact(document)
            except Exception:
                log.exception("compaction_failed", document=document.document_id)

    def _round(self) -> None:
        connections = self._hub.connections()
        subjects = {s for _, peer in connections for s in _subjects(peer)}
        present = self._present(subjects)
        moved = {s for s in subjects if present.get(s, 0) != self._seen.get(s, -1)}
        for number, peer in connections:
            if self._is_due(number) or moved.intersection(_subjects(peer)):
                self._recheck(number, peer)
        self._seen = {s: present.get(s, 0) for s in subjects}
        numbers = {number for number, _ in connections}
        self._checked = {n: at for n, at in self._checked.items() if n in numbers}

    @staticmethod
    def _present(subjects: set[str]) -> dict[str, int]:
        if not subjects:
            return {}
        with system_session("epochs", read_only=True) as session:
            return epochs.read(session, subjects)

    def _is_due(self, number: int) -> bool:
        return monotonic() - self._checked.get(number, -ALWAYS_AFTER) >= ALWAYS_AFTER

    def _recheck(self, number: int, peer: Peer) -> None:
        """A socket that is refused counts as unchecked until it is gone."""
        key = peer.document
        self._checked.pop(number, None)
        try:
            found = admission.admit(
                peer.user_id, peer.session_id or "", key.tenant_id, key.document_id
            )
        except admission.Refused as refused:
            self._hub.disconnect(number, refused.code, refused.reason)
        except Exception:
            # Not known to be allowed: they come back and ask at the door.
            log.exception("recheck_failed", user=peer.user_id)
            self._hub.disconnect(number, 1011, "try again")
        else:
            self._checked[number] = monotonic()
            if found.read_only != peer.read_only:
                self._hub.set_read_only(number, found.read_only)


def _subjects(peer: Peer) -> tuple[str, str]:
    return peer.document.tenant_id, peer.user_id
