"""Django REST framework on SQLite, with the same three queries behind each request."""

import json
import subprocess
import sys
from pathlib import Path

from load import Requests

from peers import dataset
from peers.peer import APPS, HERE, Peer, Plan, clean_environment, gunicorn, run

REQUIREMENTS = HERE / "requirements-drf.txt"


class DjangoRest(Peer):
    """A serializer, a generic view, an authentication class: what a team writes."""

    name = "drf"

    def __init__(self) -> None:
        self.folder = Path()
        self.token = ""

    @property
    def python(self) -> Path:
        """The interpreter that has Django."""
        return self.folder / "bin" / "python"

    def install(self, cache: Path) -> None:
        """A virtual environment of its own."""
        self.folder = cache / "drf"
        done = self.folder / "requirements.txt"
        if done.exists() and done.read_text() == REQUIREMENTS.read_text():
            return
        run([sys.executable, "-m", "venv", "--clear", str(self.folder)], cache)
        run([str(self.python), "-m", "pip", "install", "-q", "-r", str(REQUIREMENTS)], cache)
        done.write_text(REQUIREMENTS.read_text())

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
        documents = f"/tenants/{made['tenant']}/documents"
        create = {"title": "Made", "body": dataset.body(0)}
        tasks = {
            "read": Requests("GET", [f"/documents/{made['ids'][n]}" for n in dataset.READ]),
            "list": Requests("GET", [documents]),
            "create": Requests("POST", [documents], json.dumps(create)),
        }
        return Plan(tasks, f"/documents/{made['foreign']}")

    def command(self, data: Path, port: int) -> list[str]:
        """gunicorn."""
        return gunicorn(self.python, "drf_app:application", data, port)

    def environment(self, data: Path, port: int) -> dict[str, str]:
        """Where the application and its database are."""
        return {"PYTHONPATH": str(APPS), "BENCH_DATA": str(data)}

    def sign_in(self, base: str) -> dict[str, str]:
        """The token of the session that was made with the data; it never expires."""
        return {"Authorization": f"Bearer {self.token}"}
