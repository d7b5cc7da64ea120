"""Around every request: its id, its log line, the headers every answer carries."""

import re
import time
from contextlib import ExitStack

import structlog
from flask import Flask, Response, current_app, g, request

from treenail import metrics, trace
from treenail.ids import is_id, uuid7
from treenail.logs import SECRET_KEYS

WELL_FORMED = re.compile(r"[A-Za-z0-9._\-]{1,128}")
LONG = 22  # characters of 128 bits in base64
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
HSTS = "max-age=31536000; includeSubDomains"
log = structlog.get_logger("treenail.web")


def install(app: Flask) -> None:
    """Follow every request of the application."""
    app.before_request(_begin)
    app.after_request(_finish)
    app.teardown_request(_end)


def _begin() -> None:
    given = request.headers.get("X-Request-Id", "")
    request_id = given if WELL_FORMED.fullmatch(given) else uuid7()
    g.started = time.perf_counter()
    g.tracing = ExitStack()
    g.tracing.enter_context(trace.tracing(trace.Trace(request_id=request_id)))


def _finish(response: Response) -> Response:
    response.headers["X-Request-Id"] = trace.current().request_id or ""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if request.is_secure:
        response.headers["Strict-Transport-Security"] = HSTS
    seconds = time.perf_counter() - g.started
    rule = request.url_rule
    if rule is None or not rule.websocket:  # a socket's life is no answer's time
        route = rule.rule if rule else None
        metrics.of(current_app).observe(route, request.method, response.status_code, seconds)
    log.info(
        "request",
        method=request.method,
        path=_path(),
        status=response.status_code,
        ms=round(seconds * 1000, 2),
    )
    return response


def _path() -> str:
    """The path as logged: no query string, and no part of it that is, or may be, a secret."""
    if request.view_args is None:  # no view: what its arguments would have been isn't known
        parts = request.path.split("/")
        return "/".join(p if len(p) < LONG or is_id(p) else "[redacted]" for p in parts)
    path = request.path
    for name, value in request.view_args.items():
        if SECRET_KEYS.search(name):
            path = path.replace(str(value), "[redacted]")
    return path


def _end(error: BaseException | None) -> None:
    stack: ExitStack | None = g.pop("tracing", None)
    if stack:
        stack.close()
