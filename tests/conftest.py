"""The whole platform, served for real and used by real clients."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest
import websocket
from journey import JS, Journey
from treenail.testing import LiveServer

Node = Callable[..., Any]


@pytest.fixture(scope="module")
def environ() -> dict[str, str]:
    """All first-party plugins, with cheap passwords."""
    return {"TREENAIL_AUTH_BCRYPT_ROUNDS": "4", "TREENAIL_RATE_LIMITS": "off"}


@pytest.fixture(scope="module")
def journey(server: LiveServer) -> Journey:
    """A tenant with an owner, a workspace and what else a test asks for."""
    return Journey(server)


@pytest.fixture(scope="session")
def node() -> Node:
    """Run a script of ``tests/js`` with a configuration; returns its result."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        required = os.environ.get("TREENAIL_TEST_SERVICES") == "1"
        (pytest.fail if required else pytest.skip)("SKIPPED WITHOUT SERVICES: no Node")
    _install()

    def run(script: str, timeout: float = 120, **config: Any) -> Any:
        done = subprocess.run(
            ["node", JS / f"{script}.mjs", json.dumps(config)],
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()[-3000:]
        return json.loads(done.stdout)

    return run


def _install() -> None:
    """Fetch the clients once, whichever of the parallel workers comes first."""
    if (JS / "node_modules" / ".package-lock.json").exists():
        return
    with open(JS / ".installing", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (JS / "node_modules" / ".package-lock.json").exists():
            command = ["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"]
            subprocess.run(command, cwd=JS, check=True, timeout=300)


@pytest.fixture
def revoked_within() -> Callable[..., tuple[int | None, bool]]:
    """Open a socket, do something, and say how it was closed and whether within a second."""

    def watch(socket: dict[str, str], act: Callable[[], Any]) -> tuple[int | None, bool]:
        url = f"{socket['base']}/{socket['room']}?token={socket['token']}"
        client = websocket.create_connection(url, timeout=5)
        try:
            client.recv()  # the document is open
            act()
            began = monotonic()
            while True:
                opcode, data = client.recv_data(control_frame=True)
                if opcode == websocket.ABNF.OPCODE_CLOSE:
                    return int.from_bytes(data[:2], "big"), monotonic() - began < 1
        finally:
            client.shutdown()

    return watch
