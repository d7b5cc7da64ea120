"""Taking a WebSocket's file descriptor out of a WSGI server's hands.

A view checks the request with ``check_handshake``, lets ``take_over`` answer it and detach the
descriptor, gives that to the hub, and returns ``Detached``: the server believes the request to be
over and closes what is left, an end of a socket pair that nobody listens to.
"""

from __future__ import annotations

import base64
import binascii
import os
import socket
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

from flask import Response

from treenail_collab.live.frames import accept_key

_SERVERS = ("gunicorn.socket", "werkzeug.socket")


class HandshakeError(Exception):
    """The request is not a WebSocket handshake of version 13 (RFC 6455, 4.2.1)."""


class DescriptorError(Exception):
    """The server does not hand out a plain socket: TLS ends in it, or it is not known here."""


def check_handshake(environ: WSGIEnvironment) -> None:
    """Raise HandshakeError unless the request may be answered with 101."""
    upgrade = environ.get("HTTP_UPGRADE", "").lower()
    options = [part.strip().lower() for part in environ.get("HTTP_CONNECTION", "").split(",")]
    if environ.get("REQUEST_METHOD") != "GET" or upgrade != "websocket" or "upgrade" not in options:
        raise HandshakeError("not an upgrade to websocket")
    if environ.get("HTTP_SEC_WEBSOCKET_VERSION") != "13":
        raise HandshakeError("version 13 is required")
    try:
        nonce = base64.b64decode(environ.get("HTTP_SEC_WEBSOCKET_KEY", ""), validate=True)
    except (binascii.Error, ValueError):
        nonce = b""
    if len(nonce) != 16:
        raise HandshakeError("the key must be 16 bytes in base64")


def requested_subprotocols(environ: WSGIEnvironment) -> list[str]:
    """What the client offers, in its order of preference."""
    offered = environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL", "").split(",")
    return [name.strip() for name in offered if name.strip()]


def take_over(environ: WSGIEnvironment, subprotocol: str | None = None) -> int:
    """Answer the handshake and return a descriptor of the socket that is the caller's own.

    ``subprotocol`` must be one that the client has offered. Raises HandshakeError, DescriptorError,
    and OSError when the client is gone already.
    """
    check_handshake(environ)
    if subprotocol is not None and subprotocol not in requested_subprotocols(environ):
        raise HandshakeError("the client has not offered this subprotocol")
    sock = _find_socket(environ)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(_switching_protocols(environ["HTTP_SEC_WEBSOCKET_KEY"], subprotocol))
    return _detach(sock)


def _find_socket(environ: WSGIEnvironment) -> socket.socket:
    sock = next((environ[name] for name in _SERVERS if name in environ), None)
    # An SSLSocket's descriptor carries the encrypted stream: of no use without the object.
    if type(sock) is not socket.socket or environ.get("wsgi.url_scheme") not in ("http", "https"):
        raise DescriptorError("this server gives no plain socket to hand over")
    return sock


def _switching_protocols(key: str, subprotocol: str | None) -> bytes:
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept_key(key)}",
    ]
    if subprotocol is not None:
        lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def _detach(sock: socket.socket) -> int:
    """A duplicate of the descriptor; ``sock`` itself becomes one end of a dead socket pair.

    Gunicorn's gthread worker half-closes after the view (SHUT_WR), which acts on the connection
    and so would reach a mere duplicate.
    """
    near, far = socket.socketpair()
    with near, far:
        fd = os.dup(sock.fileno())
        os.dup2(near.fileno(), sock.fileno(), inheritable=False)
    return fd


class Detached(Response):
    """The response after ``take_over``: nothing more is written to the socket.

    Gunicorn ends a request silently when the application raises StopIteration. Werkzeug writes
    an empty response, into the dead socket pair.
    """

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """End the request."""
        if "gunicorn.socket" in environ:
            raise StopIteration
        return super().__call__(environ, start_response)
