"""Hostile values in every field, path, query and header: refused or kept as what they are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from itertools import product
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from populated import Populated, populate
from route_matrix import ARGUMENT, Route, at, routes
from treenail.testing import Answer
from treenail.web import openapi
from treenail.web.pages import PageQuery
from treenail.web.requests import HEADERS as SECURITY_HEADERS

JSON = ("application/json", "application/problem+json")
WEB = {  # the only answers that are no JSON
    "platform.docs": "text/html",
    "platform.docs_asset": "text/javascript",
    "root.show_metrics": "text/plain",
    "audit.export_records": "application/x-ndjson",
}
TEXTS = {
    "SQL": "'; DROP TABLE core_users; --",
    "SQL in quotes": '" OR "1"="1',
    "a wildcard": "%_\\",
    "a script": "</script><script>alert(1)</script>",
    "CR and LF": "a\r\nX-Injected: yes\r\n\r\n<b>",
    "NUL": "a\0b",
    "a path": "../../../etc/passwd",
    "a long text": "x" * 100_000,
    "nothing": "",
    "direction marks": "\u202egnp.exe\ufeff\u2028",
    "outside the BMP": "🪵" * 5,
}
VALUES = {
    "a lone surrogate": "a\ud800b",
    "2⁶⁴": 2**64,
    "-2⁶³-1": -(2**63) - 1,
    "2⁶³": 2**63,
    "10⁴⁰⁰": 10**400,
    "a fraction": 1e308,
    "null": None,
    "a list": [[["'"]]],
    "an object": {"$ne": None, "__proto__": {"a\0": "\ud800"}},
}
HEADERS = (
    *("X-Tenant-Id", "X-Request-Id", "Idempotency-Key", "If-Match", "If-None-Match", "Origin"),
    *("Authorization", "User-Agent", "Accept", "Content-Type", "X-Forwarded-For", "Host"),
)


FORBIDDEN = dict.fromkeys(map(ord, "\r\n\0"))
"""gunicorn refuses them in a header, and so does the test client."""
BROKEN = (
    b"{",
    b"[1]",
    b'"text"',
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"a":' * 5000 + b"1" + b"}" * 5000,
)


@pytest.fixture(scope="module")
def environ() -> dict[str, str]:
    return {"TREENAIL_AUTH_BCRYPT_ROUNDS": "4", "TREENAIL_RATE_LIMITS": "off"}


@pytest.fixture(scope="module")
def tenant(app: Flask) -> Populated:
    """A tenant with data, whose owner sends it all."""
    return populate(app, "zq-")


@pytest.fixture(scope="module")
def http(app: Flask) -> list[Route]:
    return [route for route in routes(app) if not route.rule.websocket]


@pytest.fixture(scope="module")
def documented(app: Flask) -> dict[str, set[int]]:
    """The statuses that the description names, by ``operationId``."""
    found = openapi.document(app, "0")["paths"].values()
    operations = [operation for methods in found for operation in methods.values()]
    return {o["operationId"]: {int(s) for s in o["responses"]} for o in operations}


def wrong(route: Route, answer: Answer, documented: dict[str, set[int]]) -> str | None:
    """What is wrong with an answer, whatever was asked."""
    if answer.status not in documented[route.rule.endpoint.replace(".", "_")]:
        return f"{answer.status} is not documented"
    if "X-Injected" in answer.headers or "Set-Cookie" in answer.headers:
        return "a header was injected"
    kind = answer.headers.get("Content-Type", "application/json").partition(";")[0]
    if kind not in JSON and not (WEB.get(route.rule.endpoint) == kind and answer.status == 200):
        return f"it is {kind}"
    return next((f"no {name}" for name in SECURITY_HEADERS if name not in answer.headers), None)


def poisoned(document: Any, poison: Any) -> Iterator[tuple[str, Any]]:
    """The document once for each place in it, with poison there; and as a member's name."""
    for key, inner in list(document.items() if isinstance(document, dict) else enumerate(document)):
        changed = deepcopy(document)
        changed[key] = poison
        yield str(key), changed
        if isinstance(inner, dict | list):
            for path, deeper in poisoned(inner, poison):
                yield (
                    f"{key}.{path}",
                    {**document, key: deeper} if isinstance(document, dict) else [deeper],
                )
    if isinstance(document, dict) and isinstance(poison, str):
        yield "a name", {**document, poison: 1}


def test_no_value_in_a_body_breaks_anything(tenant: Populated, http, documented):
    found = []
    for route in http:
        for call in route.calls(tenant) if route.endpoint.body else ():
            for what, poison in (TEXTS | VALUES).items():
                for place, body in poisoned(call.body, poison):
                    answer = call.by(tenant.owner, data=json.dumps(body), content_type=JSON[0])
                    if problem := wrong(route, answer, documented):
                        found.append(f"{route}: {what} as {place}: {problem}")
    assert not found, "\n".join(found)


def addresses(route: Route, tenant: Populated, text: str) -> Iterator[str]:
    """Addresses of the route with a text in each place of the path, and in each query."""
    for collection, _ in ARGUMENT.findall(route.rule.rule):
        yield path_of(route, tenant.ids | {collection: text})
    schemas = [s for s in (route.endpoint.query, route.endpoint.paged and PageQuery) if s]
    for name in (field.data_key for schema in schemas for field in schema().fields.values()):
        yield f"{path_of(route, tenant.ids)}?{name}={text}"


def path_of(route: Route, ids: dict[str, str]) -> str:
    """The path, filled."""
    return ARGUMENT.sub(lambda match: f"{match[1]}/{ids[match[1]]}", route.rule.rule)


def test_no_text_in_an_address_breaks_anything(tenant: Populated, http, documented):
    found = []
    for route in http:
        for what, text in TEXTS.items() if route.method in ("GET", "POST") else ():
            for address in addresses(route, tenant, quote(text[:4000], safe="")):
                answer = tenant.owner.call(route.method, at(address))
                misses = answer.status in (404, 405)  # the text made it another address
                if not misses and (problem := wrong(route, answer, documented)):
                    found.append(f"{address[:120]}: {what}: {problem}")
    assert not found, "\n".join(found)


SEEN = {"root.healthz", "tenants.me", "rbac_roles.list_roles", "workspaces.change_workspace"}


def test_no_text_in_a_header_breaks_anything(tenant: Populated, http, documented):
    """Headers are read the same for every route of a kind: one of each will do."""
    found = []
    for route in (route for route in http if route.rule.endpoint in SEEN):
        for call in route.calls(tenant):
            for (what, text), name in product(TEXTS.items(), HEADERS):
                sent = text.translate(FORBIDDEN)[:4000].encode().decode("latin-1")
                answer = call.by(tenant.owner, headers={name: sent})
                if problem := wrong(route, answer, documented):
                    found.append(f"{route}: {what} as {name}: {problem}")
    assert not found, "\n".join(found)


def test_every_answer_is_json_and_carries_the_security_headers(client, tenant, http, documented):
    """And so nothing that somebody stored is ever served as a page or a picture."""
    found = []
    for route in http:
        for call in route.calls(tenant) if route.method in ("GET", "HEAD") else ():
            for caller in (client, tenant.owner, tenant.people["guest"]):
                if problem := wrong(route, call.by(caller), documented):
                    found.append(f"{route}: {problem}")
    assert not found, "\n".join(found)


def test_deep_and_broken_json_is_refused(tenant: Populated, http):
    for route in http:
        for call in route.calls(tenant) if route.endpoint.body else ():
            for data in BROKEN:
                answer = call.by(tenant.owner, data=data, content_type=JSON[0])
                assert 400 <= answer.status < 500, (str(route), data[:20])


def test_a_stored_script_stays_text_and_json(tenant: Populated, http):
    script = "<script>alert(1)</script>"
    path = f"/workspaces/{tenant.ids['workspaces']}"
    assert tenant.owner.patch(path, {"name": script}).json["name"] == script
    document = f"/documents/{tenant.ids['documents']}"
    assert tenant.owner.patch(document, {"title": script}).status == 200
    for address in (path, document, "/workspaces", "/documents"):
        answer = tenant.owner.get(address)
        assert script in answer.response.text
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
