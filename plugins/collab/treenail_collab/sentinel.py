"""The sentinel: acts on open sockets when what their people may do has changed.

One query a round, over the tenants and people who have something open; only where an epoch
moved are their sockets asked about anew. It sees changes made by any process.
"""

from __future__ import annotations

import threading

import structlog
from flask import Flask
from treenail import epochs
from treenail.db import system_session

from treenail_collab import admission
from treenail_collab.journal import DatabaseJournal
from treenail_collab.live.hub import Hub
from treenail_collab.live.interfaces import Peer

log = structlog.get_logger("treenail.collab")


class Sentinel:
    """A thread beside the hub; begins with the first socket, sleeps while there is none."""

    def __init__(self, app: Flask, hub: Hub, journal: DatabaseJournal, seconds: float) -> None:
        self._app = app
        self._hub = hub
        self._journal = journal
        self._seconds = seconds
        self._seen: dict[str, int] = {}
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """Make sure that it watches."""
        with self._lock:
            if self._thread is None and not self._ended.is_set():
                self._thread = threading.Thread(target=self._watch, name="sentinel", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(self._seconds):
            try:
                with self._app.app_context():
                    self._round()
                for document in self._journal.overgrown():
                    self._journal.compact(document)
            except Exception:
                log.exception("sentinel_failed")

    def _round(self) -> None:
        connections = self._hub.connections()
        subjects = {s for _, peer in connections for s in _subjects(peer)}
        if not subjects:
            self._seen.clear()
            return
        with system_session("epochs", read_only=True) as session:
            present = epochs.read(session, subjects)
        # An epoch seen for the first time counts as moved: the change may have come
        # between the socket's admission and this round.
        moved = {s for s in subjects if present.get(s, 0) != self._seen.get(s, -1)}
        for number, peer in connections:
            if moved.intersection(_subjects(peer)):
                self._recheck(number, peer)
        self._seen = {s: present.get(s, 0) for s in subjects}

    def _recheck(self, number: int, peer: Peer) -> None:
        key = peer.document
        try:
            found = admission.admit(
                peer.user_id, peer.session_id or "", key.tenant_id, key.document_id
            )
        except admission.Refused as refused:
            self._hub.disconnect(number, refused.code, refused.reason)
        else:
            if found.read_only != peer.read_only:
                self._hub.set_read_only(number, found.read_only)


def _subjects(peer: Peer) -> tuple[str, str]:
    return peer.document.tenant_id, peer.user_id
