"""Starting, running and ending: how fast, what is written where, and what a mistake says."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import websocket
from flask import Flask
from journey import Journey
from program import ROOT, start, treenail
from sqlalchemy import select
from treenail import mail
from treenail.db import system_session
from treenail.deliveries import DeliveryRow
from treenail.events import HINTED, OutboxEvent
from treenail.tasks import Worker
from treenail.testing import LiveServer
from treenail.testing.server import free_port

START_SECONDS = 1.5
END_SECONDS = 5


def seconds_to_answer(settings: dict[str, str]) -> float:
    """From the command to the first answer, with everything installed and migrated."""
    port, began = str(free_port()), time.monotonic()
    process = start(settings | {"PORT": port}, "serve")
    try:
        while time.monotonic() < began + 30:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1).close()
                return time.monotonic() - began
            time.sleep(0.01)
        raise AssertionError("it never answered")
    finally:
        process.terminate()
        process.communicate(timeout=20)


def seconds_to_import() -> float:
    """What the libraries alone take: the anchor, in the same run on the same machine."""
    libraries = "flask_migrate, flask_jwt_extended, pycrdt, gunicorn.app.base, huey, redis, apispec"
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", f"import {libraries}"], check=True)
    return time.monotonic() - began


def test_it_answers_soon_after_its_start(deployment: dict[str, str]):
    anchors, starts = [], []
    while len(starts) < 3 and min(starts, default=60) >= START_SECONDS:
        anchors.append(seconds_to_import())
        starts.append(seconds_to_answer(deployment))
    print(f"first answer after {min(starts):.2f} s; the libraries alone {min(anchors):.2f} s")
    assert min(starts) < START_SECONDS or min(starts) < 3 * min(anchors)


@dataclass(frozen=True)
class Life:
    """What was seen of a server from its start to its end by SIGTERM."""

    strays: set[Path]
    close_code: int
    exit_code: int
    seconds_to_end: float


@pytest.fixture(scope="module")
def life(deployment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Life:
    """People register, invite and open a document; then it is told to end."""
    outside = tmp_path_factory.mktemp("outside")
    places = {key: outside / key for key in ("HOME", "TMPDIR", "XDG_RUNTIME_DIR", "PWD")}
    for place in places.values():
        place.mkdir()
    settings = deployment | {key: str(place) for key, place in places.items()}
    with contextlib.chdir(places["PWD"]), LiveServer(settings) as server:
        journey = Journey(server)
        journey.member()
        client = open_socket(journey)
        strays, began = {*outside.rglob("*")}, time.monotonic()
        os.kill(server.pid, signal.SIGTERM)
        found = close_code(client), server.wait(), time.monotonic() - began
    return Life((strays | {*outside.rglob("*")}) - {*places.values()}, *found)


def open_socket(journey: Journey) -> websocket.WebSocket:
    """A document somebody has open."""
    socket = journey.socket(journey.document())
    url = f"{socket['base']}/{socket['room']}?token={socket['token']}"
    client = websocket.create_connection(url, timeout=END_SECONDS)
    client.recv()
    return client


def close_code(client: websocket.WebSocket) -> int:
    """What the server closes the socket with."""
    while True:
        opcode, data = client.recv_data(control_frame=True)
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            client.shutdown()
            return int.from_bytes(data[:2], "big")


def test_all_it_writes_is_in_its_data_folder(life: Life):
    assert life.strays == set()


def test_an_open_socket_is_sent_away_and_does_not_hold_up_the_end(life: Life):
    print(f"ended {life.seconds_to_end:.2f} s after SIGTERM")
    assert life.close_code == 1012  # service restart: providers come back
    assert life.exit_code == 0
    assert life.seconds_to_end < END_SECONDS


def test_with_the_worker_apart_mail_waits_for_it(deployment: dict[str, str]):
    settings = deployment | {"TREENAIL_WORKER": "apart"}
    with LiveServer(settings) as server:
        journey = Journey(server)
        before = len(journey.mails())
        journey.invite("bob@example.com")
        time.sleep(1.5)  # a sweep would have found it
        assert len(journey.mails()) == before
        worker = start(settings, "worker")
        try:
            assert journey.mailed_token("bob@example.com")
        finally:
            worker.terminate()
            _, error = worker.communicate(timeout=20)
    assert (worker.returncode, error) == (0, "worker is running\n")


def test_a_worker_that_ends_fans_out_what_is_new(app: Flask):
    """The next start may be without a plugin: what is not fanned out would be lost to it."""
    worker = Worker(app)
    worker.start()
    time.sleep(0.2)  # its first sweep is over, the next one is a second away
    with app.app_context(), system_session("test") as session:
        mail.send(session, "bob@example.com", "Roof", "It is up.")
        event_id = session.scalar(select(OutboxEvent.id).where(OutboxEvent.relayed_at.is_(None)))
        session.info.pop(HINTED)  # the hint is lost
    worker.stop()
    with app.app_context(), system_session("test", read_only=True) as session:
        waiting = select(DeliveryRow.status).where(DeliveryRow.event_id == event_id)
        assert session.scalars(waiting).all() == ["pending"]


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    settings = {"TREENAIL_DATA": str(tmp_path_factory.mktemp("mistakes"))}
    assert treenail(settings, "db", "upgrade").code == 0
    return settings


MISTAKES = {
    "a wrong setting of a plugin": (
        {"AUTH_BCRYPT_ROUNDS": "few"},
        "TREENAIL_AUTH_BCRYPT_ROUNDS: Not a valid integer.",
    ),
    "an unknown key": ({"TREADS": "8"}, "unknown setting TREENAIL_TREADS"),
    "a missing file": (
        {"CONFIG": "/nowhere/treenail.toml"},
        "TREENAIL_CONFIG: /nowhere/treenail.toml: [Errno 2] No such file or directory: "
        "'/nowhere/treenail.toml'",
    ),
    "a missing secret": ({"ENV": "production"}, "TREENAIL_SECRET_KEY is required in production"),
    "a database of nothing": (
        {"DATA": "{empty}"},
        "plugin core failed (migrate): the database has nothing, this version needs core_0003: "
        "run treenail db upgrade",
    ),
    "a database that is not there": (
        {"DATABASE_URL": "postgresql+psycopg://nobody:secret@127.0.0.1:1/nothing"},
        "the database doesn't answer: connection failed: ",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line(migrated: dict[str, str], tmp_path: Path, mistake: str):
    settings, message = MISTAKES[mistake]
    given = {f"TREENAIL_{key}": value.format(empty=tmp_path) for key, value in settings.items()}
    done = treenail(migrated | given, "serve", "--port", str(free_port()))
    assert (done.code, done.out) == (2, "")
    assert done.error.startswith(f"treenail: {message}")
    assert done.error.count("\n") == 1
    assert "secret" not in done.error


Make = Callable[[], str]


@pytest.fixture
def make_run(tmp_path: Path) -> Make:
    """What ``make run`` would do in a copy of the tree where everything is installed."""
    for path in ("Makefile", "setup.cfg", "requirements.txt", "constraints.txt"):
        shutil.copy(ROOT / path, tmp_path)
    for project in (ROOT / "core", *(ROOT / "plugins").iterdir()):
        copy = tmp_path / project.relative_to(ROOT)
        copy.mkdir(parents=True)
        shutil.copy(project / "pyproject.toml", copy)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").touch()
    (tmp_path / ".venv" / "installed").touch()
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}

    def run() -> str:
        command = ["make", "--no-print-directory", "-n", "run", "VENV=.venv"]
        return subprocess.check_output(command, cwd=tmp_path, env=kept, text=True)

    return run


def test_a_second_make_run_goes_straight_to_serving(make_run: Make):
    assert make_run() == ".venv/bin/treenail serve --migrate\n"


@pytest.mark.parametrize("changed", ["constraints.txt", "core/pyproject.toml", "setup.cfg"])
def test_a_changed_requirement_is_installed_first(make_run: Make, tmp_path: Path, changed: str):
    later = time.time() + 10
    os.utime(tmp_path / changed, (later, later))
    assert "pip install" in make_run()


def test_a_first_make_run_makes_the_environment(make_run: Make, tmp_path: Path):
    shutil.rmtree(tmp_path / ".venv")
    said = make_run()
    assert said.index("-m venv .venv") < said.index("pip install") < said.index("treenail serve")
