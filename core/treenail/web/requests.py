"""Around every request: its id, its log line, the headers every answer carries."""

import re
import time
from collections.abc import Iterable
from typing import Any

from flask import Flask, Response, request

from treenail import context, logs, metrics, trace
from treenail.ids import is_id, uuid7
from treenail.logs import SECRET_KEYS

WELL_FORMED = re.compile(r"[A-Za-z0-9._\-]{1,128}")
LONG = 22  # characters of 128 bits in base64
SAID = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
HEADERS = {name.lower(): (name, value) for name, value in SAID.items()}
HSTS = "max-age=31536000; includeSubDomains"


class Headers:
    """WSGI middleware: what every answer's headers say, where the answer doesn't itself."""

    def __init__(self, application: Any) -> None:
        self.application = application

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer, with the headers."""

        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            given = {name.lower() for name, _ in headers}
            headers += [header for name, header in HEADERS.items() if name not in given]
            if environ.get("wsgi.url_scheme") == "https":
                headers.append(("Strict-Transport-Security", HSTS))
            return start_response(status, headers, *error)

        answer: Iterable[bytes] = self.application(environ, start)
        return answer


def install(app: Flask) -> None:
    """Follow every request of the application."""
    app.wsgi_app = Headers(app.wsgi_app)  # type: ignore[method-assign]
    app.before_request(_begin)
    app.after_request(_finish)
    app.teardown_request(_end)


def _begin() -> None:
    given = context.request().headers.get("X-Request-Id", "")
    request_id = given if WELL_FORMED.fullmatch(given) else uuid7()
    kept = context.kept()
    kept.started = time.perf_counter()
    kept.tracing = trace.begin(trace.Trace(request_id=request_id))


def _finish(response: Response) -> Response:
    response.headers.add("X-Request-Id", trace.current().request_id or "")
    seconds = time.perf_counter() - context.kept().started
    request = context.request()
    method, rule = request.method, request.url_rule
    if rule is None or not rule.websocket:  # a socket's life is no answer's time
        route = rule.rule if rule else None
        metrics.of(context.app()).observe(route, method, response.status_code, seconds)
    if logs.wants_requests():
        ms = round(seconds * 1000, 2)
        logs.request(method=method, path=_path(), status=response.status_code, ms=ms)
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
    token = context.kept().pop("tracing", None)
    if token:
        trace.end(token)
