"""Django REST framework on SQLite, with the same three queries behind each request."""

import json
import subprocess
from pathlib import Path

from load import Requests

from peers import dataset
from peers.peer import APPS, Peer, Plan, clean_environment, gunicorn, pip_install


class DjangoRest(Peer):
    """A serializer, a generic view, an authentication class: what a team writes."""

    name = "drf"

    def __init__(self) -> None:
        self.python = Path()
        self.token = ""

    def install(self, cache: Path) -> None:
        """Django has an environment of its own."""
        self.python = pip_install("drf", cache) / "bin" / "python"

    def prepare(self, data: Path) -> Plan:
        """Tables and rows through Django; the documents go in as lines of JSON."""
        lines = (
            json.dumps({"title": one.title, "body": one.body, "updated": one.updated.isoformat()})
            for one in dataset.documents()
        )
        done = subprocess.run(
            [str(self.python), str(APPS / "drf_app.py")],
            input="\n".join(lines),
            env=clean_environment() | self.environment(data, 0),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"drf: {done.stderr[-2000:]}")
        made = json.loads(done.stdout)
        self.token = made["token"]
        own, other = (f"/tenants/{tenant}/documents" for tenant in made["tenants"])
        create = json.dumps({"title": "Made", "body": dataset.body(0)})
        tasks = {
            "read": Requests("GET", [f"/documents/{made['ids'][n]}" for n in dataset.READ]),
            "list": Requests("GET", [own]),
            "create": Requests("POST", [own], create),
        }
        foreign = (
            Requests("GET", [f"/documents/{made['foreign']}"]),
            Requests("POST", [other], create),
        )
        return Plan(tasks, foreign)

    def command(self, data: Path, port: int) -> list[str]:
        """gunicorn."""
        return gunicorn(self.python, "drf_app:application", data, port)

    def environment(self, data: Path, port: int) -> dict[str, str]:
        """Where the application and its database are."""
        return {"PYTHONPATH": str(APPS), "BENCH_DATA": str(data)}

    def sign_in(self, base: str) -> dict[str, str]:
        """The token of the session that was made with the data; it never expires."""
        return {"Authorization": f"Bearer {self.token}"}
