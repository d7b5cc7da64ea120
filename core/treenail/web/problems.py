"""Errors as answers: always problem+json (RFC 9457), never HTML, never a stack trace."""

import orjson
import structlog
from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from treenail import trace
from treenail.errors import Problem

log = structlog.get_logger("treenail.web")
CODES = {404: "not_found", 405: "method_not_allowed", 413: "content_too_large"}


def install(app: Flask) -> None:
    """Answer every error of the application."""
    app.register_error_handler(Problem, answer)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unexpected)


def answer(problem: Problem) -> Response:
    """The answer to a problem."""
    document = problem.document() | {"requestId": trace.current().request_id}
    return Response(
        orjson.dumps(document, option=orjson.OPT_NON_STR_KEYS),  # an error in a list's 3rd item
        problem.status,
        headers=problem.headers,
        content_type="application/problem+json",
    )


def _http(error: HTTPException) -> Response:
    problem = Problem(error.description or "")
    problem.status = error.code or 500
    problem.title = error.name
    problem.code = CODES.get(problem.status, error.name.lower().replace(" ", "_"))
    problem.headers = {
        key: value for key, value in error.get_headers() if key.lower() in ("allow", "retry-after")
    }
    return answer(problem)


def _unexpected(error: Exception) -> Response:
    log.exception("request_failed")
    return answer(Problem("Something went wrong; the request id finds it in the log."))
