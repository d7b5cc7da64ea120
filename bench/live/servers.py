"""The servers under test: how each is started, and how a client reaches a new document on it."""

import os
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from treenail_document import open_document

NODE_PROJECT = Path(__file__).parents[2] / "tests" / "js"
START_SECONDS = 60


@dataclass(frozen=True)
class Room:
    """What a y-websocket client needs: the address, the document's name, a token or none."""

    base: str
    room: str
    token: str | None


class Server(ABC):
    """One server: its commands, its environment and its documents."""

    name: str

    @abstractmethod
    def command(self) -> list[str]:
        """The command that serves until it is ended."""

    @abstractmethod
    def new_room(self, port: int) -> Room:
        """A new, empty document on the server that listens on ``port``."""

    def preparation(self) -> list[list[str]]:
        """Commands to run to their end before the server starts."""
        return []

    def environment(self, port: int, data: Path) -> dict[str, str]:
        """Variables beyond this process's own; ``data`` is a fresh directory."""
        return {"PORT": str(port)}


class Anchor(Server):
    """npm's @y/websocket-server, in memory: it keeps nothing, so this is its fastest form."""

    name = "anchor"

    def command(self) -> list[str]:
        return ["node", str(NODE_PROJECT / "anchor.mjs")]

    def new_room(self, port: int) -> Room:
        return Room(f"ws://127.0.0.1:{port}", f"bench-{uuid4().hex}", None)


class Treenail(Server):
    """This project as it is served by default: SQLite, every update committed before it is seen."""

    name = "treenail"

    def command(self) -> list[str]:
        return [sys.executable, "-m", "treenail", "serve"]

    def preparation(self) -> list[list[str]]:
        return [[sys.executable, "-m", "treenail", "db", "upgrade"]]

    def environment(self, port: int, data: Path) -> dict[str, str]:
        return {
            **super().environment(port, data),
            "TREENAIL_DATA": str(data),
            "TREENAIL_RATE_LIMITS": "off",
        }

    def new_room(self, port: int) -> Room:
        document = open_document(f"http://127.0.0.1:{port}")
        return Room(f"ws://127.0.0.1:{port}/api/v1/collab", document.id, document.token)


SERVERS: dict[str, Server] = {server.name: server for server in (Anchor(), Treenail())}


@dataclass(frozen=True)
class Running:
    """A server that listens."""

    pid: int
    port: int


def free_port() -> int:
    """A port nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def running(server: Server, pinned: list[str]) -> Iterator[Running]:
    """Start ``server`` behind the command prefix ``pinned``; end it and all its children after."""
    with TemporaryDirectory(prefix=f"bench-{server.name}-") as directory:
        data, port = Path(directory), free_port()
        environment = os.environ | server.environment(port, data)
        log = data / "server.log"
        with log.open("wb") as output:
            _prepare(server, environment, output.fileno(), log)
            process = subprocess.Popen(
                [*pinned, *server.command()],
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            _wait_for(process, port, log)
            yield Running(process.pid, port)
        finally:
            _end(process)


def _prepare(server: Server, environment: Mapping[str, str], output: int, log: Path) -> None:
    for command in server.preparation():
        done = subprocess.run(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{log.read_text()[-2000:]}")


def _wait_for(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError(f"the server does not listen on {port}:\n{log.read_text()[-2000:]}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a server; what is left of its process group after ten seconds is killed."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
