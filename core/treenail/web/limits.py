"""Rate limits: how often somebody may call, and may call one route that says so itself.

Counted per person; per address (of IPv6 the /64) where a route is public or nobody proves who
they are. A window begins with its first call. The counters lie in Redis where there is one, in
one round trip per request, else in this process; when Redis doesn't answer, every process
counts for itself for a while: a limit is no reason to turn everybody away.

Written here because `limits`, Flask-Limiter's engine, starts a thread every 10 ms to forget
what it has in memory, and asks Redis three times for what the headers say.
"""

import threading
import time
from dataclasses import dataclass
from typing import Any, Protocol

import redis
import structlog
from flask import Flask, Response, g, request

from treenail import context
from treenail.errors import TooManyRequests, Unauthenticated
from treenail.principal import Identity
from treenail.rates import Rate
from treenail.settings import CoreSettings
from treenail.web import caller
from treenail.web.access import Access
from treenail.web.proxies import client_address, network_of

EXTENSION = "treenail.limits"
REDIS_SECONDS = 0.25
REST_SECONDS = 5.0
FEW = 10_000
log = structlog.get_logger("treenail.web")
Window = tuple[int, float]
"""The calls counted in it, and how many seconds are left of it."""


class Counters(Protocol):
    """Where calls are counted."""

    def add(self, keys: dict[str, int]) -> list[Window]:
        """Count one call under each key, in windows of so many seconds."""


class Memory:
    """Counters of this process; windows that have ended are dropped when there are many."""

    def __init__(self) -> None:
        self.windows: dict[str, tuple[int, float]] = {}
        self._many = FEW
        self._lock = threading.Lock()

    def add(self, keys: dict[str, int]) -> list[Window]:
        """Count; two threads never see the same number."""
        now, found = time.monotonic(), []
        with self._lock:
            for key, seconds in keys.items():
                count, end = self.windows.get(key, (0, 0.0))
                if end <= now:
                    count, end = 0, now + seconds
                self.windows[key] = (count + 1, end)
                found.append((count + 1, end - now))
            if len(self.windows) > self._many:
                self.windows = {k: w for k, w in self.windows.items() if w[1] > now}
                self._many = max(FEW, 2 * len(self.windows))
        return found


class Shared:
    """Counters of all processes, in Redis; of this process alone while that doesn't answer."""

    def __init__(self, url: str, name: str) -> None:
        wait = {"socket_timeout": REDIS_SECONDS, "socket_connect_timeout": REDIS_SECONDS}
        self._redis: Any = redis.Redis.from_url(url, **wait)
        self._name = name
        self._alone = Memory()
        self._rests_until = 0.0

    def add(self, keys: dict[str, int]) -> list[Window]:
        """Count, in one round trip."""
        if time.monotonic() < self._rests_until:
            return self._alone.add(keys)
        try:
            return self._ask(keys)
        except redis.RedisError as error:
            log.warning("rate_limits_not_shared", error=str(error))
            self._rests_until = time.monotonic() + REST_SECONDS
            return self._alone.add(keys)

    def _ask(self, keys: dict[str, int]) -> list[Window]:
        with self._redis.pipeline(transaction=True) as pipeline:
            for key, seconds in keys.items():
                name = f"{self._name}:rate:{key}"
                pipeline.set(name, 0, ex=seconds, nx=True)
                pipeline.incr(name)
                pipeline.pttl(name)
            said = pipeline.execute()
        return [(said[i + 1], said[i + 2] / 1000) for i in range(0, len(said), 3)]


@dataclass
class Limits:
    """The rate that holds everywhere, and where calls are counted."""

    everywhere: Rate
    counters: Counters

    def take(self, who: str, own: Rate | None) -> None:
        """Count a call; notes what the headers say, raises `TooManyRequests`."""
        rates = {who: self.everywhere}
        if own is not None:
            rates[f"{who} {request.endpoint}"] = own
        windows = self.counters.add({key: rate.seconds for key, rate in rates.items()})
        narrowest = min(
            (rate.calls - count, rate.calls, max(1, int(left + 0.999)))
            for rate, (count, left) in zip(rates.values(), windows, strict=True)
        )
        g.rate = narrowest
        if narrowest[0] < 0:
            raise TooManyRequests(narrowest[2], narrowest[1])


def install(app: Flask, settings: CoreSettings) -> None:
    """Count the calls of the application, unless the settings say not to."""
    app.extensions[EXTENSION] = None
    if not settings.rate_limits:
        return
    counters = Shared(settings.redis_url, settings.name) if settings.redis_url else Memory()
    app.extensions[EXTENSION] = Limits(settings.rate_limit, counters)
    app.after_request(_tell)


def by_address(access: Access) -> None:
    """Count a call by nobody in particular; raises `TooManyRequests`."""
    limits: Limits | None = context.app().extensions[EXTENSION]
    if limits is not None and not access.unlimited:
        limits.take(network_of(client_address()), access.rate)


def identify(access: Access) -> Identity:
    """Who calls, counted; a credential that proves nothing counts for its address.

    Raises `Unauthenticated`, `TooManyRequests`.
    """
    try:
        identity = caller.identify()
    except Unauthenticated:
        by_address(access)
        raise
    limits: Limits | None = context.app().extensions[EXTENSION]
    if limits is not None and not access.unlimited:
        limits.take(identity.user_id, access.rate)
    return identity


def _tell(response: Response) -> Response:
    """The headers of the IETF draft *RateLimit header fields*, in its 6th version's form."""
    if (rate := context.kept().get("rate")) and "RateLimit-Limit" not in response.headers:
        remaining, limit, reset = rate
        response.headers.extend(
            [
                ("RateLimit-Limit", str(limit)),
                ("RateLimit-Remaining", str(max(0, remaining))),
                ("RateLimit-Reset", str(reset)),
            ]
        )
    return response
