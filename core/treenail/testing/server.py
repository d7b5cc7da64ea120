"""Treenail as a process, to be called over real sockets, killed and started again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

START_SECONDS = 30


class LiveServer:
    """``treenail serve`` with the given settings on a port of its own.

    ::

        with LiveServer(settings) as server:
            server.call("GET", "/me", token=token)
            server.kill()      # SIGKILL
            server.start()     # again, on the same port and data
    """

    def __init__(self, settings: Mapping[str, str], *, port: int | None = None) -> None:
        self.port = port or free_port()
        self.settings = {**settings, "PORT": str(self.port)}
        self.process: subprocess.Popen[bytes] | None = None
        self.log = Path(settings["TREENAIL_DATA"]) / "server.log"

    def __enter__(self) -> LiveServer:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The base of every address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The master process."""
        assert self.process is not None  # noqa: S101  only after start
        return self.process.pid

    @property
    def secret_key(self) -> str:
        """What the deployment signs with, as it made it itself."""
        return (Path(self.settings["TREENAIL_DATA"]) / "secrets" / "secret_key").read_text()

    def start(self) -> None:
        """Start, and wait until it answers."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("TREENAIL_")}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "treenail", "serve", "--migrate"],
                env={**kept, **self.settings},
                stderr=log,
                stdout=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start:\n{self.log.read_text()[-4000:]}")
            time.sleep(0.02)

    def wait(self) -> int:
        """Until it ends by itself."""
        assert self.process is not None  # noqa: S101  only after start
        return self.process.wait()

    def kill(self) -> None:
        """SIGKILL the whole of it, in the middle of whatever it does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in good order."""
        self._end(signal.SIGTERM)

    def call(
        self, method: str, path: str, body: Any = None, token: str | None = None, **headers: str
    ) -> tuple[int, Any]:
        """Send a request; returns status and parsed body."""
        url = self.url + (path[1:] if path.startswith("//") else f"/api/v1{path}")
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = None if body is None else orjson.dumps(body)
        if data is not None:
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310  ours
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                return answer.status, _parsed(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _parsed(error.read())

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=1):  # noqa: S310
                return True
        except OSError:
            return False

    def _end(self, number: signal.Signals) -> None:
        if self.process and self.process.poll() is None:
            if number == signal.SIGKILL:
                os.killpg(self.process.pid, number)
            else:
                self.process.send_signal(number)
            self.process.wait(20)


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _parsed(body: bytes) -> Any:
    return orjson.loads(body) if body.startswith((b"{", b"[")) else body.decode()
