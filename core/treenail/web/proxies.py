"""Proxies that are believed about whom they speak for; all others' words are dropped.

A small WSGI layer beneath the application, so that ``request.remote_addr``,
``request.is_secure`` and ``request.host`` are right for everybody who reads them.
"""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from flask import request

DIRECT = "treenail.direct"
FORWARDED = (
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_FORWARDED",
    "HTTP_X_REAL_IP",
)
HOST = re.compile(r"[A-Za-z0-9.\-]+(:\d{1,5})?|\[[0-9a-fA-F:.]+\](:\d{1,5})?")
PORT = re.compile(r"^(?:\[(?P<six>[^\]]*)\]|(?P<four>[\d.]+))(?::\d+)?$")
Address = IPv4Address | IPv6Address
Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


class TrustedProxies:
    """A WSGI application that knows the client behind the trusted proxies before it."""

    def __init__(self, application: Application, trusted: Iterable[str]) -> None:
        self.application = application
        self.trusted = [ip_network(network, strict=False) for network in trusted]

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Set the client's address, scheme and host, then pass the request on."""
        said = {name: environ.pop(name) for name in FORWARDED if name in environ}
        environ[DIRECT] = not said
        peer = _parse(environ.get("REMOTE_ADDR", ""))
        if peer is not None:
            if self._trusts(peer):
                self._believe(environ, said)
                peer = self._client(peer, said.get("HTTP_X_FORWARDED_FOR", ""))
            environ["REMOTE_ADDR"] = str(peer)
        return self.application(environ, start_response)

    def _client(self, peer: Address, chain: str) -> Address:
        """Walk the chain from us outwards, past trusted proxies only."""
        client = peer
        for hop in reversed(chain.split(",")):
            before = _parse(hop.strip())
            if before is None or not self._trusts(client):
                break
            client = before
        return client

    def _believe(self, environ: dict[str, Any], said: dict[str, str]) -> None:
        scheme = _last(said, "HTTP_X_FORWARDED_PROTO").lower()
        if scheme in ("http", "https"):
            environ["wsgi.url_scheme"] = scheme
        host = _last(said, "HTTP_X_FORWARDED_HOST")
        if HOST.fullmatch(host):
            environ["HTTP_HOST"] = host

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self.trusted)


def client_address() -> str:
    """The client's address, as far as it is known through trusted proxies."""
    return request.remote_addr or ""


@lru_cache(maxsize=1024)
def network_of(address: str) -> str:
    """Whom an address stands for: itself; of IPv6 the /64, which is one customer's."""
    found = _parse(address)
    if isinstance(found, IPv6Address):
        return str(ip_network((found, 64), strict=False))
    return str(found or address)


def is_loopback() -> bool:
    """Whether the caller is this machine, and not somebody behind a proxy on it."""
    peer = _parse(client_address())
    return bool(request.environ.get(DIRECT)) and peer is not None and peer.is_loopback


def _last(said: dict[str, str], name: str) -> str:
    """What the nearest proxy said."""
    return said.get(name, "").rpartition(",")[2].strip()


@lru_cache(maxsize=1024)
def _parse(text: str) -> Address | None:
    """An address, with or without a port; one of version 4 in the clothes of 6 is of 4."""
    if found := PORT.match(text):
        text = found["six"] or found["four"]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
