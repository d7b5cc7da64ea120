"""Reading input: JSON bodies and query strings, refused clearly when they are bad."""

from typing import Any

import orjson
from flask import request
from marshmallow import ValidationError

from treenail.errors import BadRequest, Invalid, UnsupportedMediaType
from treenail.schemas import Schema


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
    return _load(schema, document)


def query(schema: type[Schema], partial_of: type[Schema] | None = None) -> dict[str, Any]:
    """The query string, loaded; parameters of the other schema are that one's to judge."""
    others = {field.data_key for field in partial_of().fields.values()} if partial_of else set()
    return _load(schema, {k: v for k, v in request.args.items() if k not in others})


def _load(schema: type[Schema], document: dict[str, Any]) -> dict[str, Any]:
    if bad := _with_null(document):
        raise Invalid({bad: ["Null characters are not allowed."]})
    try:
        loaded: dict[str, Any] = schema().load(document)
    except ValidationError as error:
        raise Invalid(error.normalized_messages()) from None
    return loaded


def _with_null(document: Any, path: str = "body") -> str | None:
    """Where a NUL is; PostgreSQL can't store one, and nobody means to send one."""
    if isinstance(document, str):
        return path if "\0" in document else None
    children = document.items() if isinstance(document, dict) else ()
    if isinstance(document, list):
        children = enumerate(document)  # type: ignore[assignment]
    for key, value in children:
        if isinstance(key, str) and "\0" in key:
            return path
        if found := _with_null(value, str(key)):
            return found
    return None


