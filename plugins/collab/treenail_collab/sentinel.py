"""The sentinel: acts on open sockets when what their people may do has changed.

One query a round, over the tenants and people who have something open; only whose rights are
of another state than at their last admission are asked about anew, and once a minute everybody
(a session also ends by itself, which moves nothing). It sees changes made by any process. Sockets
of one session on one document are asked about together.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

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


class Asked(NamedTuple):
    """What is asked: whether this session may still have that document open."""

    user_id: str
    session_id: str
    tenant_id: str
    document_id: str


class Known(NamedTuple):
    """Which state of its rights a socket was last found to be allowed under, and when."""

    rights: int
    at: float

    def is_due(self, rights: int) -> bool:
        """Whether to ask again."""
        return rights != self.rights or monotonic() - self.at >= ALWAYS_AFTER


class Sentinel:
    """Two threads beside the hub, which begin with the first socket.

    One watches rights, the other folds up logs that have grown long: that may take a while.
    """

    def __init__(self, app: Flask, hub: Hub, journal: DatabaseJournal, seconds: float) -> None:
        self._app = app
        self._hub = hub
        self._journal = journal
        self._seconds = seconds
        self._known: dict[int, Known] = {}
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
        present = self._present({s for _, peer in connections for s in _subjects(peer)})
        self._known = {
            number: self._known.get(number, Known(peer.rights, monotonic()))
            for number, peer in connections
        }
        due: dict[Asked, list[tuple[int, Peer]]] = {}
        for number, peer in connections:
            if self._known[number].is_due(admission.rights(present, *_subjects(peer))):
                asked = Asked(
                    peer.user_id,
                    peer.session_id or "",
                    peer.document.tenant_id,
                    peer.document.document_id,
                )
                due.setdefault(asked, []).append((number, peer))
        for asked, sockets in due.items():
            self._recheck(asked, sockets)

    @staticmethod
    def _present(subjects: set[str]) -> dict[str, int]:
        if not subjects:
            return {}
        with system_session("epochs", read_only=True) as session:
            return epochs.read(session, subjects)

    def _recheck(self, asked: Asked, sockets: list[tuple[int, Peer]]) -> None:
        try:
            found = admission.admit(*asked)
        except admission.Refused as refused:
            self._close(sockets, refused.code, refused.reason)
        except Exception:
            # Not known to be allowed: they come back and ask at the door.
            log.exception("recheck_failed", user=asked.user_id)
            self._close(sockets, 1011, "try again")
        else:
            for number, peer in sockets:
                self._known[number] = Known(found.rights, monotonic())
                if found.read_only != peer.read_only:
                    self._hub.set_read_only(number, found.read_only)

    def _close(self, sockets: list[tuple[int, Peer]], code: int, reason: str) -> None:
        """They count as never asked about until they are gone."""
        for number, _ in sockets:
            self._known[number] = Known(-1, monotonic())
            self._hub.disconnect(number, code, reason)


def _asked(peer: Peer) -> Asked:
    document = peer.document
    session_id = peer.session_id or ""
    return Asked(peer.user_id, session_id, document.tenant_id, document.document_id)


def _subjects(peer: Peer) -> tuple[str, str]:
    return peer.document.tenant_id, peer.user_id
