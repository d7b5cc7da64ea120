"""Who caused the work at hand: carried beside the call, for logs and events."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass


@dataclass(frozen=True)
class Trace:
    """The cause of the present work; None where nobody is known."""

    request_id: str | None = None
    actor_id: str | None = None
    tenant_id: str | None = None


_current: ContextVar[Trace] = ContextVar("treenail_trace")


def current() -> Trace:
    """The cause of what is running now."""
    return _current.get(Trace())


@contextmanager
def tracing(trace: Trace) -> Iterator[None]:
    """Run a block for this cause."""
    token = _current.set(trace)
    try:
        yield
    finally:
        _current.reset(token)


def begin(trace: Trace) -> Token[Trace]:
    """Run what follows for this cause; `end` it with the token."""
    return _current.set(trace)


def end(token: Token[Trace]) -> None:
    """Run for whatever it was before."""
    _current.reset(token)


def identify(actor_id: str, tenant_id: str | None) -> None:
    """Add the principal, once known, to the cause."""
    _current.set(Trace(current().request_id, actor_id, tenant_id))
