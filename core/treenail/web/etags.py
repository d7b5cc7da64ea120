"""Entity tags (RFC 9110, sections 8.8 and 13): what was answered, and whether it still holds.

A tag is made from the whole answer, so it says that nothing in it has changed, the caller's
role included. Answers whose schema has ``updated_at`` carry one.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from flask import Response, current_app, request
from flask.globals import request_ctx
from werkzeug.exceptions import HTTPException
from werkzeug.http import quote_etag

from treenail import context
from treenail.errors import PreconditionFailed
from treenail.schemas import Schema


def is_tagged(schema: type[Schema]) -> bool:
    """Whether answers of this schema are versions of something that changes."""
    return "updated_at" in schema._declared_fields


def answer(document: Mapping[str, Any], status: int) -> Response:
    """The document with its tag; 304 for a reader who has it already."""
    body = orjson.dumps(document)
    tag = _tag(body)
    request = context.request()
    held = request.headers.get("If-None-Match")
    if held and request.method == "GET" and request.if_none_match.contains_weak(tag):
        response = Response(status=304)
    else:
        response = Response(body, status, content_type="application/json")
    response.headers.add("ETag", quote_etag(tag))
    return response


def shown_here() -> Callable[..., Any] | None:
    """The view that answers a GET of the request's address."""
    try:
        found: Any = request_ctx.url_adapter.match(method="GET")  # type: ignore[union-attr]
    except HTTPException:
        return None
    return current_app.view_functions[found[0]]


def require(document: Mapping[str, Any] | None) -> None:
    """Raise 412 unless ``If-Match`` names this document; one without a tag matches only ``*``."""
    tag = _tag(orjson.dumps(document)) if document is not None else ""
    if not request.if_match.contains(tag):
        raise PreconditionFailed("It has changed since you read it.")


def _tag(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:32]
