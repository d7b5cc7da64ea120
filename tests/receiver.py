"""A receiver of webhooks: a real server that keeps what comes and answers as it is told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import time
from typing import Any

Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Request:
    """What came."""

    method: str
    path: str
    headers: Message
    body: bytes
    client: tuple[str, int]
    at: float = field(default_factory=time)


class Receiver(ThreadingHTTPServer):
    """``answers`` are used up one by one, the last for good; a function writes by itself."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[Request] = []
        self.answers: list[Answer | Callable[[Any], None]] = [(204, {}, b"")]

    def __enter__(self) -> Receiver:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self.server_close()

    @property
    def url(self) -> str:
        """Its base."""
        return f"http://127.0.0.1:{self.server_port}"

    def says(self, *statuses: int, body: bytes = b"", **headers: str) -> None:
        """Answer with these statuses, one after the other."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers = [(status, named, body) for status in statuses]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A sender that goes away is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 64 << 10
    server: Receiver

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        if len(body) < length:  # its sender was killed half-way: nothing has come
            self.close_connection = True
            return
        found = self.server
        request = Request(self.command, self.path, self.headers, body, self.client_address)
        found.requests.append(request)
        answer = found.answers.pop(0) if len(found.answers) > 1 else found.answers[0]
        if callable(answer):
            answer(self)
            return
        status, headers, said = answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *arguments: object) -> None:
        pass
