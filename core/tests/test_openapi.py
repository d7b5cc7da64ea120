"""The description of the API: valid, complete, and readable without the internet."""

import re

import pytest
from flask import Blueprint
from openapi_spec_validator import OpenAPIV31SpecValidator
from treenail.plugin import Plugin, hookimpl
from treenail.schemas import Schema
from treenail.testing import Client
from treenail.web import endpoint, public


def _view() -> None:
    """Odd, but allowed."""


class Odd(Plugin):
    """Routes that share views, take several methods, and have converters with arguments."""

    name = "odd"
    version = "1.0"

    @hookimpl
    def blueprints(self):
        made = Blueprint("odd", __name__)
        view = endpoint(public, body=Schema)(_view)
        made.add_url_rule("/odd/<int(min=1):number>", "one", view, methods=["PUT", "POST"])
        made.add_url_rule("/odd/<any(oak, elm):tree>/<path:rest>", "one", view)
        return [made]


@pytest.fixture
def odd(build) -> Client:
    return Client(build(Odd))


def test_the_description_is_valid(odd: Client):
    assert list(OpenAPIV31SpecValidator(odd.get("/openapi.json").json).iter_errors()) == []


def test_it_covers_every_route_and_method(odd: Client):
    paths = odd.get("/openapi.json").json["paths"]
    for rule in odd.app.url_map.iter_rules():
        path = re.sub(r"<(?:[^<>]+:)?(\w+)>", r"{\1}", rule.rule)
        methods = {method.lower() for method in rule.methods - {"HEAD", "OPTIONS"}}
        assert methods <= paths[path].keys()
        for method in methods:
            names = {p["name"] for p in paths[path][method]["parameters"] if p["in"] == "path"}
            assert names == set(rule.arguments)


def test_every_operation_says_what_it_is_and_needs(odd: Client):
    paths = odd.get("/openapi.json").json["paths"].values()
    operations = [operation for path in paths for operation in path.values()]
    assert all(operation["summary"] for operation in operations)
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    members = odd.get("/openapi.json").json["paths"]["/api/v1/tenants/{tenant_id}/members"]
    assert members["get"]["x-permission"] == "member:read"
    assert members["get"]["security"] == [{"bearer": []}]


def test_problems_are_described(odd: Client):
    document = odd.get("/openapi.json").json
    answers = document["paths"]["/api/v1/tenants"]["post"]["responses"]
    assert {"201", "401", "422"} <= answers.keys()
    schema = answers["422"]["content"]["application/problem+json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/Problem"}


def test_the_pages_assets_are_all_here_and_name_no_foreign_host(odd: Client):
    page = odd.get("/docs")
    assert page.response.mimetype == "text/html"
    links = re.findall(r'(?:src|href)="([^"]+)"', page.response.text)
    assert len(links) == 3
    assert not [link for link in links if "//" in link]
    for link in links:
        with odd.get(f"/{link}").response as asset:
            assert (asset.status_code, len(asset.data) > 100) == (200, True)
    assert "//" not in page.response.text.replace("<!doctype", "")
    assert odd.get("/docs/start.js").response.text.count('url: "openapi.json"') == 1


def test_the_page_may_load_nothing_from_elsewhere(odd: Client):
    policy = odd.get("/docs").headers["Content-Security-Policy"]
    sources = {part.split()[0]: part.split()[1:] for part in policy.split("; ")}
    assert sources["default-src"] == ["'none'"]
    allowed = {"'none'", "'self'", "data:"}
    assert {source for given in sources.values() for source in given} <= allowed
    assert sources["script-src"] == ["'self'"]
    assert "validatorUrl: null" in odd.get("/docs/start.js").response.text


def test_only_the_pages_own_assets_are_served(odd: Client):
    for name in ("index.html", "swagger-ui.js.map", "..", "oauth2-redirect.html"):
        assert odd.get(f"/docs/{name}").status == 404


def test_a_deployment_may_keep_its_description_to_itself(build):
    shy = Client(build(api_docs="off"))
    for path in ("/openapi.json", "/docs", "/docs/start.js"):
        assert shy.get(path).status == 404
    assert shy.get("//healthz").status == 200
