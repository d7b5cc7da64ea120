"""Reading input: JSON bodies and query strings, refused clearly when they are bad."""

from typing import Any

import orjson
from flask import g, request
from marshmallow import ValidationError

from treenail.errors import BadRequest, Invalid, UnsupportedMediaType
from treenail.schemas import Schema, shared

MAX_DEPTH = 100


def json_body(schema: type[Schema]) -> dict[str, Any]:
    """The body, loaded; an absent one counts as ``{}``.

    Raises 400 for malformed JSON, 415 for another type, 422 for content that doesn't fit.
    """
    data = request.get_data(cache=False)
    document: Any = {}
    if data:
        if request.mimetype != "application/json":
            raise UnsupportedMediaType("Send application/json.")
        try:
            document = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise BadRequest(f"Malformed JSON: {error}", code="malformed_json") from None
    if not isinstance(document, dict):
        raise Invalid({"body": ["Not an object."]})
    loaded = _load(schema, document)
    g.fields = tuple(document)
    return loaded


def query(schema: type[Schema], partial_of: type[Schema] | None = None) -> dict[str, Any]:
    """The query string, loaded; parameters of the other schema are that one's to judge."""
    others = (
        {field.data_key for field in shared(partial_of).fields.values()} if partial_of else set()
    )
    return _load(schema, {k: v for k, v in request.args.items() if k not in others})


def _load(schema: type[Schema], document: dict[str, Any]) -> dict[str, Any]:
    if bad := _unstorable(document):
        raise Invalid(bad)
    try:
        loaded: dict[str, Any] = shared(schema).load(document)
    except ValidationError as error:
        raise Invalid(error.normalized_messages()) from None  # type: ignore[no-untyped-call]
    return loaded


def _unstorable(document: dict[str, Any]) -> dict[str, list[str]] | None:
    """What is wrong, by top field: PostgreSQL can't store a NUL, and Python can't recurse deep."""
    waiting: list[tuple[str, Any, int]] = []
    for field, inner in document.items():
        waiting += [("body", field, 1), (field, inner, 1)]
    while waiting:
        field, value, depth = waiting.pop()
        if isinstance(value, str) and "\0" in value:
            return {field.replace("\0", ""): ["Null characters are not allowed."]}
        if depth > MAX_DEPTH:
            return {field: ["Nested too deeply."]}
        if isinstance(value, dict):
            waiting += [(field, key, depth) for key in value]
            value = list(value.values())
        if isinstance(value, list):
            waiting += [(field, inner, depth + 1) for inner in value]
    return None
