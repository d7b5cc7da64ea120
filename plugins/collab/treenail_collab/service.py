"""The plugin's running parts, one set per application: hub, journal, sentinel."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Flask, current_app
from treenail import metrics
from treenail.db import db

from treenail_collab.journal import DatabaseJournal
from treenail_collab.live.hub import Hub
from treenail_collab.sentinel import Sentinel
from treenail_collab.settings import CollabSettings

EXTENSION = "treenail.collab"


@dataclass(frozen=True)
class Live:
    """What keeps documents live in this process."""

    hub: Hub
    journal: DatabaseJournal
    sentinel: Sentinel

    def close(self) -> None:
        """Send everybody away (1012: they come back), store what came in, end the threads."""
        self.sentinel.close()
        self.hub.close()
        self.journal.close()


def install(app: Flask, settings: CollabSettings) -> None:
    """Give an application its live parts; their threads begin with the first socket."""
    with app.app_context():
        engine = db.engine
    keyring = app.extensions["treenail.keyring"]
    journal = DatabaseJournal(engine, keyring, settings.compact_rows)
    hub = Hub(journal, settings.limits())
    live = Live(hub, journal, Sentinel(app, hub, journal, settings.recheck_seconds))
    app.extensions[EXTENSION] = live
    app.extensions.setdefault("treenail.closing", []).append(live.close)
    metrics.watch(
        app,
        "treenail_open_sockets",
        "Sockets of live documents in this process.",
        "kind",
        lambda: {"collab": len(hub.connections())},
    )


def live() -> Live:
    """The present application's live parts."""
    found: Live = current_app.extensions[EXTENSION]
    return found
