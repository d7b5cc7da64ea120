"""Taking the descriptor from the servers themselves, and the handshake's rules."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import websocket
from treenail_collab.live.frames import BINARY, encode
from treenail_collab.live.protocol import encode_step1
from treenail_collab.sockets import (
    DescriptorError,
    HandshakeError,
    check_handshake,
    requested_subprotocols,
    take_over,
)

HANDSHAKE = {
    "REQUEST_METHOD": "GET",
    "HTTP_UPGRADE": "WebSocket",
    "HTTP_CONNECTION": "keep-alive, Upgrade",
    "HTTP_SEC_WEBSOCKET_VERSION": "13",
    "HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZQ==",
    "wsgi.url_scheme": "http",
}
APPLICATION = """
from flask import Flask, request
from treenail_collab.live.hub import DocumentKey, Hub, Limits, Peer
from treenail_collab.sockets import Detached, take_over
from treenail_collab.live.testing import MemoryJournal

app = Flask(__name__)
hub = Hub(MemoryJournal(), Limits())

@app.route("/collab/<document>", websocket=True)
def collab(document):
    fd = take_over(request.environ, request.args.get("protocol"))
    if document == "forbidden":
        hub.dismiss(fd, 4403, "no")
    else:
        hub.adopt(fd, Peer(DocumentKey("t", document), "ada", "Ada", None, False))
    return Detached()

@app.route("/ping")
def ping():
    return "pong"

if __name__ == "__main__":
    import sys
    app.run(port=int(sys.argv[1]), threaded=True)
"""
SERVERS = {
    "gunicorn": ["-m", "gunicorn", "-k", "gthread", "--threads", "2", "--no-control-socket"],
    "werkzeug": ["application.py"],
}


@contextmanager
def serving(name: str, folder: Path) -> Iterator[int]:
    (folder / "application.py").write_text(APPLICATION)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    where = ["-b", f"127.0.0.1:{port}", "application:app"] if name == "gunicorn" else [str(port)]
    path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, *SERVERS[name], *where],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path},
            stdout=log,
            stderr=log,
        )
    try:
        wait_for(port, server)
        yield port
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(10)


def wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while server.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("the server does not start")


@pytest.mark.parametrize("name", SERVERS)
def test_the_hub_serves_sockets_of_a_real_server(name: str, tmp_path: Path) -> None:
    with serving(name, tmp_path) as port:
        url = f"ws://127.0.0.1:{port}/collab"
        sockets = [websocket.create_connection(f"{url}/plan", timeout=5) for _ in range(5)]
        # More sockets than threads, and longer than gunicorn takes to let go of a request.
        time.sleep(0.3)
        for client in sockets:
            assert client.recv() == encode_step1(b"\x00")
            client.send_binary(encode_step1(b"\x00"))
            assert client.recv() == b"\x00\x01\x02\x00\x00"
            client.close()
        with socket.create_connection(("127.0.0.1", port), timeout=5) as http:
            http.sendall(b"GET /ping HTTP/1.0\r\n\r\n")
            assert http.makefile("rb").read().endswith(b"pong")
        assert "Traceback" not in (tmp_path / "log").read_text()


def test_a_dismissed_client_sees_the_code_and_the_subprotocol(tmp_path: Path) -> None:
    with serving("gunicorn", tmp_path) as port:
        url = f"ws://127.0.0.1:{port}/collab/forbidden?protocol=b"
        client = websocket.create_connection(url, timeout=5, subprotocols=["a", "b"])
        assert client.getsubprotocol() == "b"
        client.send_binary(b"x" * 1000)
        opcode, payload = client.recv_data()
        assert (opcode, payload[:2]) == (8, (4403).to_bytes(2, "big"))
        client.shutdown()


def environment(**changes: Any) -> dict[str, Any]:
    return {**HANDSHAKE, **changes}


def test_a_good_handshake_is_taken_over() -> None:
    client, server = socket.socketpair()
    listener = socket.create_server(("127.0.0.1", 0))
    with client, server, listener:
        browser = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
        with browser, accepted:
            fd = take_over(environment(**{"gunicorn.socket": accepted}))
            accepted.shutdown(socket.SHUT_WR)
            assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n" in browser.recv(1000)
            os.write(fd, encode(b"still open", BINARY))
            assert browser.recv(100) == encode(b"still open", BINARY)
            os.close(fd)


@pytest.mark.parametrize(
    "changes",
    [
        {"REQUEST_METHOD": "POST"},
        {"HTTP_UPGRADE": "h2c"},
        {"HTTP_CONNECTION": "close"},
        {"HTTP_SEC_WEBSOCKET_VERSION": "8"},
        {"HTTP_SEC_WEBSOCKET_KEY": "short"},
        {"HTTP_SEC_WEBSOCKET_KEY": "!" * 24},
    ],
)
def test_anything_else_is_no_handshake(changes: dict[str, str]) -> None:
    with pytest.raises(HandshakeError):
        check_handshake(environment(**changes))


def test_a_subprotocol_must_have_been_offered() -> None:
    environ = environment(HTTP_SEC_WEBSOCKET_PROTOCOL="a, b")
    assert requested_subprotocols(environ) == ["a", "b"]
    with pytest.raises(HandshakeError):
        take_over(environ, "c")


def test_without_a_plain_socket_there_is_no_descriptor() -> None:
    with pytest.raises(DescriptorError):
        take_over(environment())
