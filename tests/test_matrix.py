"""Every plugin is absent once, and alone with what it requires once: the rest works."""

from __future__ import annotations

import ast
import json
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from jsonschema import Draft202012Validator, FormatChecker
from openapi_spec_validator import validate
from program import ROOT
from treenail.app import create_app
from treenail.registry import FIRST_PARTY, discover
from treenail.web import openapi

REQUIRES = {name: set(discover()[name].load().requires) for name in FIRST_PARTY}
Operations = dict[tuple[str, str], dict[str, Any]]


def alone(plugin: str) -> set[str]:
    """The plugin and, all the way down, what it requires."""
    return {plugin}.union(*(alone(name) for name in REQUIRES[plugin]))


def without(plugin: str) -> set[str]:
    """Every plugin that gets on without this one."""
    return {name for name in FIRST_PARTY if plugin not in alone(name)}


def ordered(names: set[str]) -> tuple[str, ...]:
    return tuple(name for name in FIRST_PARTY if name in names)


ALONE = {ordered(alone(name)) for name in FIRST_PARTY}
WITHOUT = {ordered(without(name)) for name in FIRST_PARTY}


@pytest.fixture(scope="module", params=sorted(ALONE | WITHOUT), ids="+".join)
def environ(request: pytest.FixtureRequest) -> dict[str, str]:
    """One cell of the matrix; its database is migrated from empty."""
    return {"TREENAIL_PLUGINS": ",".join(request.param)}


@pytest.fixture(scope="module")
def present(environ: dict[str, str]) -> set[str]:
    return {"core", *environ["TREENAIL_PLUGINS"].split(",")}


@pytest.fixture(scope="session")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Operations:
    """Every operation there is with all plugins."""
    data = str(tmp_path_factory.mktemp("complete"))
    return operations(described(create_app({"TREENAIL_DATA": data}, check_database=False)))


@cache
def described(app: Flask) -> dict[str, Any]:
    return openapi.document(app, "0")


@cache
def check_openapi(body: bytes) -> None:
    """Once per description: it is the same whatever the database."""
    document = json.loads(body)
    assert document["openapi"] == "3.1.0"
    validate(document)


def operations(document: dict[str, Any]) -> Operations:
    found = document["paths"].items()
    return {(method, path): what for path, methods in found for method, what in methods.items()}


def owner(operation: dict[str, Any]) -> str:
    """The plugin that brings an operation: its blueprint is named for it."""
    return next((name for name in FIRST_PARTY if f"{operation['tags'][0]}_".startswith(f"{name}_")),
                "core")  # fmt: skip


def calls(app: Flask) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every operation as a call, with an id nobody has where it wants one."""
    nobody = "01890a5d-ac96-774b-bcce-b302099a8057"
    for (method, path), operation in operations(described(app)).items():
        names = [p["name"] for p in operation["parameters"] if p["in"] == "path"]
        yield method.upper(), f"/{path.format(**dict.fromkeys(names, nobody))}", operation


def test_it_migrates_from_empty_and_is_well(client, present: set[str]):
    assert client.get("//healthz").json == {"status": "ok", "failures": []}
    assert client.get("//readyz").json == {"status": "ok", "failures": []}
    assert set(client.app.extensions["treenail"].registry.plugins) == present | {"injected"}


def test_its_description_is_openapi_and_lacks_exactly_what_is_absent(client, present, complete):
    answer = client.get("/openapi.json")
    document = answer.json
    check_openapi(answer.response.get_data())
    wanted = {key for key, operation in complete.items() if owner(operation) in present}
    assert operations(document).keys() == wanted


def test_what_is_absent_answers_404(client, present, complete):
    gone = {path for (_, path), operation in complete.items() if owner(operation) not in present}
    gone -= {path for _, path in operations(described(client.app))}
    for path in gone:
        assert client.get(f"/{path}").status == 404, path


def test_nobody_gets_past_a_route_that_is_not_public(client):
    for method, path, operation in calls(client.app):
        if operation["security"]:
            answer = client.call(method, path, {})
            assert (answer.status, answer.code) == (401, "unauthenticated"), (method, path)


def test_every_event_types_example_fits_its_schema(client, present):
    items = client.get("/event-types").json["items"]
    assert ("webhook.tested" in {item["name"] for item in items}) == ("webhooks" in present)
    for item in items:
        checker = Draft202012Validator(item["schema"], format_checker=FormatChecker())
        Draft202012Validator.check_schema(item["schema"])
        checker.validate(item["example"])
        assert not checker.is_valid({**item["example"], "surely": "unknown"}), item["name"]


def test_whoever_comes_is_answered(client, tenant):
    for method, path, _ in calls(client.app):
        for caller in (client, tenant.owner):
            assert caller.call(method, path, {}).status < 500, (method, path)


def test_the_owner_of_a_tenant_reads_its_lists(tenant, present):
    for method, path, operation in calls(tenant.app):
        if method == "GET" and not operation["parameters"] and operation["security"]:
            wanted = 403 if path.endswith("/plugins") else 200  # operators only
            assert tenant.owner.get(path).status == wanted, path


CELLS = {"without": ordered(without("collab")), "alone": ordered(alone("collab"))}


@pytest.mark.parametrize("environ", CELLS.values(), ids=CELLS, indirect=True, scope="module")
def test_it_is_served(server, environ, present, complete):
    ok = (200, {"status": "ok", "failures": []})
    assert server.call("GET", "//healthz") == server.call("GET", "//readyz") == ok
    assert present == {"core", *server.settings["TREENAIL_PLUGINS"].split(",")}
    served = operations(server.call("GET", "/openapi.json")[1])
    assert {owner(operation) for operation in served.values()} == present
    assert server.call("GET", "/workspaces")[0] == 401


def enabled_by(conftest: Path) -> set[str]:
    """The plugins a conftest.py names in its settings."""
    for node in ast.walk(ast.parse(conftest.read_text())):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "TREENAIL_PLUGINS":
                    return set(ast.literal_eval(value).split(","))
    raise AssertionError(f"{conftest} names no plugins")


@pytest.mark.parametrize("plugin", FIRST_PARTY)
def test_a_plugins_own_tests_run_with_only_what_it_requires(plugin: str):
    assert enabled_by(ROOT / "plugins" / plugin / "tests" / "conftest.py") == alone(plugin)


@pytest.mark.parametrize("plugin", FIRST_PARTY)
def test_a_distribution_needs_those_of_the_plugins_it_requires(plugin: str):
    text = (ROOT / "plugins" / plugin / "pyproject.toml").read_text()
    needed = {name for name in tomllib.loads(text)["project"]["dependencies"] if "treenail" in name}
    assert needed == {"treenail-core", *(f"treenail-{name}" for name in REQUIRES[plugin])}
