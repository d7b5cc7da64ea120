"""Addresses of receivers, read strictly: what two parsers could read two ways is refused."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from treenail_webhooks.addresses import is_address

LONGEST = 2000
PORTS = {"http": 80, "https": 443}
CLEAN = re.compile(r"[!-\[\]^-~]+")
"""Printable ASCII without white space and backslash."""
NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
NUMBER = re.compile(r"(?:\d+|0x[0-9a-f]*)$")


class BadUrl(Exception):
    """Says, for people, what is wrong with a URL."""


@dataclass(frozen=True)
class Destination:
    """A URL in its parts; ``target`` is what stands in the request line."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """What goes into ``Host``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


def parse(url: str) -> Destination:
    """The parts of a receiver's URL; raises `BadUrl`."""
    if len(url) > LONGEST:
        raise BadUrl(f"Longer than {LONGEST} characters.")
    if not CLEAN.fullmatch(url):
        raise BadUrl("Only printable ASCII: write names in Punycode and the rest with %.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadUrl("Not a URL.") from None
    if parts.scheme not in PORTS or not parts.netloc:
        raise BadUrl("Not a URL that begins with https:// or http://.")
    if "@" in parts.netloc:
        raise BadUrl("A URL with a name or password is refused; use a header.")
    if parts.fragment or url.endswith("#"):
        raise BadUrl("A fragment is never sent.")
    host = (parts.hostname or "").removesuffix(".")
    _check_host(host, bracketed="[" in parts.netloc)
    if port == 0 or parts.netloc.endswith(":"):
        raise BadUrl("Not a port.")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Destination(parts.scheme, host, port or PORTS[parts.scheme], target)


def _check_host(host: str, bracketed: bool) -> None:
    if bracketed:
        if ":" not in host or "%" in host or not is_address(host):
            raise BadUrl("Not an IPv6 address.")
        return
    if not NAME.fullmatch(host) or len(host) > 253:
        raise BadUrl("Not the name of a host.")
    # What the C library would read as an address: 127.1, 0x7f000001, 2130706433, 0177.0.0.1.
    last = host.rpartition(".")[2]
    if NUMBER.fullmatch(last) and not is_address(host):
        raise BadUrl("Not an IPv4 address in its usual form.")
