"""Telling the recorders what was done: within the transaction of the change, or apart from it."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import structlog
from flask import g, request

from treenail import permissions, platform, trace
from treenail.contributions import Act
from treenail.db import TenantSession, db, session
from treenail.errors import Problem
from treenail.events import EMITTED
from treenail.ids import is_id
from treenail.models import Tenant
from treenail.principal import Principal
from treenail.web.access import Access

READS = frozenset({"GET", "HEAD", "OPTIONS"})
DENIED = frozenset({403, 404})
LONGEST_AGENT = 300
log = structlog.get_logger("treenail.web")


def within(access: Access, arguments: Mapping[str, Any]) -> None:
    """Record a change in its own transaction, which ends with this; raises what recorders do."""
    recorders = platform.current().recorders
    if not recorders:
        return
    own = session()
    # With the tenant itself its records go.
    if any(isinstance(gone, Tenant) for gone in own.deleted):
        return
    act = _act(access, arguments, own)
    for recorder in recorders:
        recorder.within(own, act)


def apart(access: Access, arguments: Mapping[str, Any]) -> None:
    """Record, after it, what has no transaction in its tenant.

    A reading that can't be recorded isn't answered; what was done across tenants is done.
    """
    if not platform.current().recorders:
        return
    if access.recorded:
        _tell(_act(access, arguments))
    elif access.kind == "authenticated" and request.method not in READS:
        _try_to_tell(access, arguments, 200, None)


def failure(access: Access, arguments: Mapping[str, Any], error: Exception) -> None:
    """Record, in a transaction of its own, what was denied or failed; never raises."""
    status = error.status if isinstance(error, Problem) else 500
    reads = request.method in READS
    if not platform.current().recorders or "principal" not in g:
        return
    # Of readings the refused ones count and the broken ones, not a filter mistyped.
    if status in (304, 401, 429) or (reads and status not in DENIED and status < 500):
        return
    if db.session.registry.has():
        db.session.rollback()  # it is undone: what is recorded now must not wait for it
    _try_to_tell(access, arguments, status, getattr(error, "code", None))


def _try_to_tell(
    access: Access, arguments: Mapping[str, Any], status: int, code: str | None
) -> None:
    try:
        _tell(_act(access, arguments, status=status, code=code))
    except Exception:
        log.exception("act_not_recorded", status=status)


def _tell(act: Act) -> None:
    if act.tenant_id:
        for recorder in platform.current().recorders:
            recorder.apart(act)


def _act(
    access: Access,
    arguments: Mapping[str, Any],
    own: TenantSession | None = None,
    *,
    status: int = 200,
    code: str | None = None,
) -> Act:
    by: Principal = g.principal
    rule = request.url_rule
    route = rule.rule if rule else ""
    events = own.info.get(EMITTED, ()) if own is not None else ()
    kind, resource_id = _resource(access, arguments, by, events)
    return Act(
        tenant_id=by.tenant_id or "",
        actor_id=by.user_id,
        action=access.permission or f"{request.method} {route}",
        resource_type=kind,
        resource_id=resource_id,
        method=request.method,
        route=route,
        outcome="success" if status < 400 else "denied" if status in DENIED else "failed",
        status=status,
        code=code,
        request_id=trace.current().request_id,
        ip=request.remote_addr,
        user_agent=request.environ.get("HTTP_USER_AGENT", "")[:LONGEST_AGENT] or None,
        arguments={name: value for name, value in arguments.items() if is_id(value)},
        fields=g.get("fields", ()) if status < 400 else (),
        events=events,
    )


def _resource(
    access: Access, arguments: Mapping[str, Any], by: Principal, events: Any
) -> tuple[str, str | None]:
    """What it is about: what the path names or what was made, else what it was asked on."""
    if not access.permission:
        return "user", by.user_id
    made, decided = platform.current().keep(
        (_resource, access.permission), partial(_types, access.permission)
    )
    named = arguments.get(access.of or "")
    if named is not None and made == decided:
        return made, named
    inner = [value for name, value in arguments.items() if name != access.of and is_id(value)]
    if inner:
        return made, inner[-1]
    for name, subject in events:
        if subject is not None and name.startswith(f"{made}."):
            return made, subject
    return (decided, named) if named is not None else (made, None)


def _types(permission: str) -> tuple[str, str]:
    """The type a permission is named for, and the one it is decided on."""
    return permission.partition(":")[0], permissions.resource_type_of(permission).name
