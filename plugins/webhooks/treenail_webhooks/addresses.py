"""Which addresses a request that a tenant asked for may go to (OWASP: SSRF).

A table of our own: ``ipaddress.is_global`` lets 12 of Svix's 43 hostile addresses pass on
Python 3.11 (multicast, 6to4, NAT64 among them). From the IANA special-purpose registries.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Iterable[str]]
"""The addresses of a name; raises `OSError`."""

GLOBAL_V6 = ip_network("2000::/3")
"""Outside of it lie loopback, mapped, NAT64, unique-local, link-local and multicast addresses."""
DENIED = [
    ip_network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16"),
        *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3"),
        "168.63.129.16/32",  # Azure's own, within a public range
        *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
    )
]


class Refused(Exception):
    """The address, or one of a name's addresses, may not be connected to."""


class Unresolved(Exception):
    """A name without addresses, or whose resolution took too long."""


class Guard:
    """Says where a request may go; ``allowed`` are the networks an operator has opened."""

    def __init__(self, allowed: Iterable[str], resolve: Resolve) -> None:
        self._allowed = [ip_network(network) for network in allowed]
        self._resolve = resolve
        # Looking up has no deadline of its own: it is done in threads that can be left behind.
        self._pool = ThreadPoolExecutor(8, thread_name_prefix="webhooks-resolve")

    def close(self) -> None:
        """Wait for no lookup any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def is_opened(self, address: str) -> bool:
        """Whether an operator has opened the address, so that what it says stays private."""
        return any(ip_address(address) in network for network in self._allowed)

    def check(self, address: str) -> None:
        """Raise `Refused` for an address that may not be connected to."""
        found = ip_address(address)
        if not self.is_opened(address) and not _is_public(found):
            raise Refused(address)

    def addresses(self, host: str, port: int, seconds: float) -> Sequence[str]:
        """The host's addresses, every one of them checked.

        Raises `Refused` when any is refused (who mixes means to slip through), and
        `Unresolved`.
        """
        found = [host] if is_address(host) else self._look_up(host, port, seconds)
        for address in found:
            self.check(address)
        return found

    def _look_up(self, host: str, port: int, seconds: float) -> list[str]:
        looking: Future[list[str]] = self._pool.submit(lambda: [*self._resolve(host, port)])
        try:
            found = looking.result(max(seconds, 0))
        except (OSError, UnicodeError, NotYet):
            looking.cancel()
            raise Unresolved(host) from None
        if not found:
            raise Unresolved(host)
        return found


def is_address(host: str) -> bool:
    """Whether the host is a literal address."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address) and address not in GLOBAL_V6:
        return False
    return not any(address in network for network in DENIED)
