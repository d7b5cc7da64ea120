"""OpenAPI 3.1, made from what the routes declare; it changes with the enabled plugins."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Flask
from werkzeug.routing import Rule

from treenail.contributions import EventType
from treenail.schemas import Id, Moment
from treenail.web import once
from treenail.web.converters import IdConverter
from treenail.web.endpoint import READS, Endpoint
from treenail.web.pages import PageQuery

PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "errors": {"type": "object"},
        "permission": {"type": "string"},
        "requestId": {"type": ["string", "null"]},
    },
}
DIALECT = "https://json-schema.org/draft/2020-12/schema"
"""OpenAPI 3.1's own."""
ERRORS = (400, 401, 403, 404, 409, 413, 415, 422, 429)
ERRORS_OF_READING = (400, 401, 403, 404, 429)


def document(app: Flask, version: str) -> dict[str, Any]:
    """The OpenAPI document of the application."""
    spec, _ = _empty(version, _schema_name)
    spec.components.security_scheme("bearer", {"type": "http", "scheme": "bearer"})
    spec.components.schema("Problem", PROBLEM)
    for rule, endpoint in sorted(declared(app), key=lambda pair: pair[0].rule):
        if rule.websocket:
            continue
        methods = (rule.methods or set()) - {"HEAD", "OPTIONS"}
        path = re.sub(r"<(?:[^<>]+:)?(\w+)>", r"{\1}", rule.rule)
        operations = {m.lower(): _operation(rule, endpoint) for m in sorted(methods)}
        spec.path(path, operations=operations)
    found: dict[str, Any] = spec.to_dict()
    _tell_apart(found)
    return found


def declared(app: Flask) -> Iterator[tuple[Rule, Endpoint]]:
    """Every rule of the application with what its view declares."""
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        if isinstance(view, Endpoint):
            yield rule, view


def wrong_declarations(app: Flask) -> Iterator[str]:
    """What is wrong with the access that routes declare; the app refuses to start with any."""
    known = app.extensions["treenail"].permissions
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        if not isinstance(view, Endpoint):
            yield f"route {rule.rule} declares no access"
        elif view.access.kind == "permission" and view.access.permission not in known:
            yield f"route {rule.rule} asks for {view.access.permission}, which nobody declares"
        elif view.access.of is not None and view.access.of not in rule.arguments:
            yield f"route {rule.rule} has no argument {view.access.of}"


def event_types(types: list[EventType]) -> list[dict[str, Any]]:
    """The catalogue of events: each type with the JSON schema of its data and an example."""
    _, converter = _empty("1", lambda schema: "")
    return [
        {
            "name": t.name,
            "version": t.version,
            "description": t.description,
            "schema": {"$schema": DIALECT, **converter.schema2jsonschema(t.schema())},
            "example": t.example,
        }
        for t in sorted(types, key=lambda t: t.name)
        if not t.internal
    ]


def _empty(version: str, name_of: Callable[[Any], str]) -> tuple[APISpec, Any]:
    """A document to be filled, and what makes JSON schemas; those without a name stand inline."""
    marshmallow = MarshmallowPlugin(schema_name_resolver=name_of)
    spec = APISpec("Treenail", version, "3.1.0", plugins=[marshmallow])
    converter: Any = marshmallow.converter
    converter.field_mapping[Id] = ("string", "uuid")
    converter.field_mapping[Moment] = ("string", "date-time")
    return spec, converter


def _operation(rule: Rule, endpoint: Endpoint) -> dict[str, Any]:
    doc = (endpoint.__doc__ or "").strip()
    operation: dict[str, Any] = {
        "operationId": rule.endpoint.replace(".", "_"),
        "tags": [rule.endpoint.partition(".")[0]],
        "summary": doc.partition("\n")[0],
        "parameters": _parameters(rule, endpoint),
        "responses": _responses(rule, endpoint),
        "security": [] if endpoint.access.kind == "public" else [{"bearer": []}],
    }
    if endpoint.access.permission:
        operation["x-permission"] = endpoint.access.permission
    if endpoint.access.rate:
        operation["x-rate-limit"] = str(endpoint.access.rate)
    if endpoint.body:
        operation["requestBody"] = {"content": {"application/json": {"schema": endpoint.body}}}
    return operation


def _tell_apart(spec: dict[str, Any]) -> None:
    """A view with several rules or methods gives each its own ``operationId``."""
    seen: Counter[str] = Counter()
    for operations in spec["paths"].values():
        for operation in operations.values():
            name = operation["operationId"]
            seen[name] += 1
            if seen[name] > 1:
                operation["operationId"] = f"{name}_{seen[name]}"


def _parameters(rule: Rule, endpoint: Endpoint) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": _form(rule, name)}
        for name in sorted(rule.arguments)
    ]
    writes = endpoint.access.kind != "public" and once.METHODS & (rule.methods or set())
    if writes and not rule.rule.startswith(once.EXEMPT):
        found.append({"name": once.HEADER, "in": "header", "schema": {"type": "string"}})
    schemas = [s for s in (endpoint.query, PageQuery if endpoint.paged else None) if s]
    return found + [{"in": "query", "schema": schema} for schema in schemas]


def _form(rule: Rule, argument: str) -> dict[str, Any]:
    is_id = isinstance(rule._converters[argument], IdConverter)
    return {"type": "string", "format": "uuid"} if is_id else {"type": "string"}


def _responses(rule: Rule, endpoint: Endpoint) -> dict[str, Any]:
    responses: dict[str, Any] = {str(endpoint.status): {"description": "Done."}}
    if endpoint.answers:
        schema: Any = endpoint.answers
        if endpoint.paged:
            items = {"type": "array", "items": endpoint.answers}
            cursor = {"type": ["string", "null"]}
            schema = {"type": "object", "properties": {"items": items, "nextCursor": cursor}}
        responses[str(endpoint.status)]["content"] = {"application/json": {"schema": schema}}
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for status in _errors(rule, endpoint):
        responses[str(status)] = {"description": "A problem.", "content": problem}
    if endpoint.tagged and "GET" in (rule.methods or set()):
        responses["304"] = {"description": "Not modified since the tag of If-None-Match."}
    return responses


def _errors(rule: Rule, endpoint: Endpoint) -> Iterator[int]:
    writes = not (rule.methods or set()) <= READS
    yield from ERRORS if writes or endpoint.query or endpoint.paged else ERRORS_OF_READING
    if endpoint.access.kind != "public":
        yield from (409, 412) if writes else (409,)


def _schema_name(schema: Any) -> str:
    """Two plugins may have a schema of the same class name: the plugin's goes before it."""
    cls = schema if isinstance(schema, type) else type(schema)
    package = cls.__module__.partition(".")[0].removeprefix("treenail").strip("_")
    return f"{package.title().replace('_', '')}{cls.__name__}"
