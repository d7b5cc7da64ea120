"""What every peer gives, and how it is started, called and checked."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from load import Requests

HERE = Path(__file__).parents[1]
APPS = HERE / "apps"
START_SECONDS = 60
INSTALL_SECONDS = 1800


class CannotInstall(Exception):
    """A peer is not to be had here; its figures are left out, and it is said."""


@dataclass(frozen=True)
class Plan:
    """What is sent to a peer, by task (``read``, ``list``, ``create``), and what it must refuse:
    another tenant's document, and a new one there.
    """

    tasks: Mapping[str, Requests]
    foreign: Sequence[Requests] = ()


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    pid: int
    base: str
    headers: Mapping[str, str]


class Peer(ABC):
    """One server: how it is installed, filled and started, and how one signs in to it."""

    name: str
    items = "items"
    """The key of a list's answer that holds its rows."""

    def install(self, cache: Path) -> None:  # noqa: B027  some need nothing
        """Bring its programs into the folder, once; raises `CannotInstall`."""

    @abstractmethod
    def prepare(self, data: Path) -> Plan:
        """Fill an empty folder with people, tenants and documents."""

    @abstractmethod
    def command(self, data: Path, port: int) -> list[str]:
        """The command that serves the folder until it is ended."""

    def environment(self, data: Path, port: int) -> dict[str, str]:
        """Variables beyond this process's own."""
        return {}

    def sign_in(self, base: str) -> dict[str, str]:
        """The headers of a member of the tenant that is read."""
        return {}

    @contextmanager
    def running(self, data: Path, prefix: Sequence[str] = ()) -> Iterator[Running]:
        """Serve the folder, sign in; end the server and its children afterwards."""
        port = free_port()
        base = f"http://127.0.0.1:{port}"
        log = data.with_suffix(".log")
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*prefix, *self.command(data, port)],
                env=clean_environment() | self.environment(data, port),
                cwd=data,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            _wait_for(process, base, log)
            yield Running(process.pid, base, self.sign_in(base))
        finally:
            _end(process)

    def check(self, running: Running, plan: Plan) -> None:
        """Raise `RuntimeError` where a request isn't answered as it should be."""
        for task, requests in plan.tasks.items():
            status, answer = _first(running, requests)
            if not 200 <= status < 300:
                raise RuntimeError(f"{self.name}: {task} is answered {status}: {answer}")
            if task == "list" and len(answer[self.items]) != 50:
                raise RuntimeError(f"{self.name}: a list has {len(answer[self.items])} rows")
        for requests in plan.foreign:
            status, answer = _first(running, requests)
            if status not in (400, 403, 404):
                what = f"{requests.method} {requests.paths[0]}"
                raise RuntimeError(f"{self.name}: {what} in a foreign tenant: {status} {answer}")


def _first(running: Running, requests: Requests) -> tuple[int, Any]:
    body = json.loads(requests.body) if requests.body else None
    return send(requests.method, running.base + requests.paths[0], body, running.headers)


def send(
    method: str, url: str, body: Any = None, headers: Mapping[str, str] | None = None
) -> tuple[int, Any]:
    """Send one request; returns status and parsed body."""
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data, dict(headers or {}), method=method)
    if data is not None:
        request.add_header("Content-Type", "application/json")
    try:
        with urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except HTTPError as error:
        with error:
            return error.code, error.read().decode(errors="replace")


def must(method: str, url: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
    """Send one request that has to be answered 2xx; returns the parsed body."""
    status, answer = send(method, url, body, headers)
    if not 200 <= status < 300:
        raise RuntimeError(f"{method} {url}: {status} {answer}")
    return answer


def clean_environment() -> dict[str, str]:
    """This process's variables without the platform's settings."""
    return {name: v for name, v in os.environ.items() if not name.startswith("TREENAIL_")}


def run(command: Sequence[str], cwd: Path, environment: Mapping[str, str] | None = None) -> None:
    """Run a step of an installation; raises `CannotInstall` with the end of what it said."""
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=clean_environment() | dict(environment or {}),
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotInstall(str(error)) from error
    if done.returncode:
        raise CannotInstall(f"{' '.join(command)}: {(done.stderr or done.stdout)[-800:].strip()}")


def pip_install(name: str, cache: Path) -> Path:
    """An environment with what ``requirements-<name>.txt`` pins; made when missing or stale."""
    requirements, folder = HERE / f"requirements-{name}.txt", cache / name
    done = folder / "requirements.txt"
    if not done.exists() or done.read_text() != requirements.read_text():
        run([sys.executable, "-m", "venv", "--clear", str(folder)], cache)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q"]
        run([*pip, "-r", str(requirements)], cache)
        done.write_text(requirements.read_text())
    return folder


def gunicorn(python: Path, application: str, data: Path, port: int) -> list[str]:
    """The command that serves a WSGI application of ``apps`` as `treenail serve` serves itself."""
    conf = str(APPS / "gunicorn.conf.py")
    return [str(python), "-m", "gunicorn", "-c", conf, "-b", f"127.0.0.1:{port}", application]


def free_port() -> int:
    """A port nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _wait_for(process: "subprocess.Popen[bytes]", base: str, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            send("GET", f"{base}/")
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"the server does not answer:\n{log.read_text()[-2000:]}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a server; what is left of its process group after ten seconds is killed."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
