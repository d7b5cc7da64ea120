"""A Flask route without a database: what the framework and gunicorn cost by themselves."""

import sys
from pathlib import Path

from load import Requests

from peers import dataset
from peers.peer import APPS, Peer, Plan, gunicorn


class Bare(Peer):
    """Flask and gunicorn of the same versions as Treenail's: the very same installation."""

    name = "bare"

    def prepare(self, data: Path) -> Plan:
        """Nothing lies anywhere."""
        paths = [f"/documents/{number}" for number in dataset.READ]
        return Plan({"read": Requests("GET", paths)})

    def command(self, data: Path, port: int) -> list[str]:
        """gunicorn."""
        return gunicorn(Path(sys.executable), "bare_app:app", data, port)

    def environment(self, data: Path, port: int) -> dict[str, str]:
        """Where the application is."""
        return {"PYTHONPATH": str(APPS)}
