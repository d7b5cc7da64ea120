"""The HTTP client: kept connections, to checked addresses only, with one deadline for all.

urllib3's timeouts are per read: a receiver that drips a header every 0.2 s held a worker for
20 s with a timeout of 2. Here every read and write of a socket gets what is left until the
request's deadline.
"""

import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from http.client import RemoteDisconnected
from time import monotonic
from typing import Any

from urllib3 import exceptions
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.response import BaseHTTPResponse

from treenail_webhooks.addresses import Guard, Refused, Unresolved
from treenail_webhooks.urls import Destination

HEAD_BYTES = 16 << 10
"""So much of an answer's body is read."""
POOLS, CONNECTIONS = 256, 64
"""Receivers whose connections are kept, and how many of each."""


@dataclass(frozen=True)
class Reply:
    """What a receiver answered; ``head`` is None where it may not be told."""

    status: int
    retry_after: str | None
    head: bytes | None


class Unreached(Exception):
    """No answer; ``reason`` is one word of a few."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Deadline:
    """What a socket does ends at its deadline."""

    deadline = float("inf")

    def recv_into(self, *arguments: Any) -> Any:
        return self._in_time().recv_into(*arguments)

    def send(self, *arguments: Any) -> Any:
        return self._in_time().send(*arguments)

    def sendall(self, *arguments: Any) -> Any:
        return self._in_time().sendall(*arguments)

    def _in_time(self) -> Any:
        left = self.deadline - monotonic()
        if left <= 0:
            raise TimeoutError("the request's deadline has passed")
        self.settimeout(left)  # type: ignore[attr-defined]  # of the socket it is mixed into
        return super()


class _Plain(_Deadline, socket.socket):
    pass


class _Tls(_Deadline, ssl.SSLSocket):
    pass


class _Guarded:
    """A connection that resolves once, checks all, and connects to what it has checked."""

    host: str
    port: int
    sock: Any
    is_private = False

    def __init__(self, *arguments: Any, guard: Guard, seconds: float, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.guard, self.seconds = guard, seconds
        self.deadline = float("inf")

    def begin(self) -> None:
        """A request begins now."""
        self.deadline = monotonic() + self.seconds
        if self.sock is not None:
            self.sock.deadline = self.deadline

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]  # of the connection it is mixed into
        self.sock.deadline = self.deadline

    def _new_conn(self) -> socket.socket:
        addresses = self.guard.addresses(self.host, self.port, self.deadline - monotonic())
        for place, address in enumerate(addresses[:-1]):
            try:
                return self._to(address, share=len(addresses) - place)
            except OSError:
                continue
        return self._to(addresses[-1])

    def _to(self, address: str, share: int = 1) -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        made = _Plain(family, socket.SOCK_STREAM)
        try:
            made.deadline = self.deadline
            made.settimeout(max(self.deadline - monotonic(), 0.001) / share)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            made.connect((address, self.port))
            # A TLS handshake takes the socket's timeout as its whole time.
            made.settimeout(max(self.deadline - monotonic(), 0.001))
        except BaseException:
            made.close()
            raise
        self.is_private = self.guard.is_opened(address)
        return made


class _HttpConnection(_Guarded, HTTPConnection):
    pass


class _HttpsConnection(_Guarded, HTTPSConnection):
    pass


class _Beginning:
    """A pool that tells a connection when its next request begins."""

    def _get_conn(self, timeout: float | None = None) -> Any:
        found = super()._get_conn(timeout)  # type: ignore[misc]  # of the pool
        found.begin()
        return found


class _HttpPool(_Beginning, HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsPool(_Beginning, HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


class Client:
    """Sends requests; one for the process, used by all its threads."""

    def __init__(self, guard: Guard, seconds: float) -> None:
        self._guard, self._seconds = guard, seconds
        self._tls = ssl.create_default_context()
        self._tls.sslsocket_class = _Tls
        # One that is dropped closes its connections when nobody uses it any more.
        self._pool = lru_cache(POOLS)(self._new_pool)

    def close(self) -> None:
        """Close what is kept."""
        self._pool.cache_clear()

    def post(self, to: Destination, headers: Mapping[str, str], body: bytes) -> Reply:
        """Send a request and read the head of the answer; follows nothing.

        Raises `Unreached`. Takes no longer than the deadline, whatever the receiver does.
        """
        own = {"Host": to.authority, "Accept-Encoding": "identity"}
        try:
            answer = self._pool(to.scheme, to.host, to.port).urlopen(
                "POST",
                to.target,
                body=body,
                headers={**headers, **own},
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except Refused:
            raise Unreached("address_refused") from None
        except Unresolved:
            raise Unreached("unresolved") from None
        except (exceptions.HTTPError, OSError) as error:
            raise Unreached(_reason(error)) from error
        return _read(answer)

    def _new_pool(self, scheme: str, host: str, port: int) -> HTTPConnectionPool:
        own: Any = {"guard": self._guard, "seconds": self._seconds, "maxsize": CONNECTIONS}
        if scheme == "https":
            return _HttpsPool(host, port, ssl_context=self._tls, **own)
        return _HttpPool(host, port, **own)


def _read(answer: BaseHTTPResponse) -> Reply:
    """The answer as far as it is kept; its status counts, though its body may never end."""
    connection: Any = answer.connection
    head = b""
    try:
        head = answer.read(HEAD_BYTES)
        if len(head) < HEAD_BYTES or not answer.read(1):
            answer.release_conn()
    except (exceptions.HTTPError, OSError):
        pass
    finally:
        answer.close()
    told = None if connection.is_private else head
    return Reply(answer.status, answer.headers.get("Retry-After"), told)


def _reason(error: Exception) -> str:
    cause = error.args[-1] if isinstance(error, exceptions.ProtocolError) else error
    if isinstance(cause, (TimeoutError, exceptions.TimeoutError)):
        return "timeout"
    if isinstance(cause, exceptions.SSLError):
        return "tls"
    if isinstance(cause, ConnectionRefusedError):
        return "refused"
    if isinstance(cause, (RemoteDisconnected, ConnectionError)):
        return "closed"
    return "unreachable" if isinstance(cause, OSError) else "bad_answer"
