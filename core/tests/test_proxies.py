"""Whose word is taken about addresses, and which pages may call."""

import pytest
from flask import Blueprint, request
from marshmallow import fields
from treenail.app import create_app
from treenail.errors import ConfigurationError
from treenail.plugin import Plugin, hookimpl
from treenail.schemas import Schema
from treenail.testing import Client
from treenail.web import endpoint, public
from treenail.web.proxies import client_address, is_loopback

blueprint = Blueprint("mirror", __name__)
PAGE = "https://app.example.com"


class Seen(Schema):
    address = fields.String()
    secure = fields.Boolean()
    host = fields.String()
    loopback = fields.Boolean()


@blueprint.get("/mirror")
@endpoint(public, answers=Seen)
def mirror():
    """Who seems to call."""
    return {
        "address": client_address(),
        "secure": request.is_secure,
        "host": request.host,
        "loopback": is_loopback(),
    }


class Mirror(Plugin):
    name = "mirror"
    version = "1.0"

    @hookimpl
    def blueprints(self):
        return [blueprint]


@pytest.fixture
def client(tmp_path):
    environ = {
        "TREENAIL_DATA": str(tmp_path),
        "TREENAIL_PLUGINS": "mirror",
        "TREENAIL_TRUSTED_PROXIES": "10.0.0.0/8, 192.0.2.7, fd00::/8",
        "TREENAIL_CORS_ORIGINS": PAGE,
    }
    return Client(create_app(environ, {"mirror": Mirror}, check_database=False))


def see(client: Client, peer: str, **headers: str):
    named = {f"X-Forwarded-{name.title()}": value for name, value in headers.items()}
    return client.get("/mirror", headers=named, environ_overrides={"REMOTE_ADDR": peer}).json


@pytest.mark.parametrize(
    ("peer", "chain", "client_is"),
    [
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.1, 192.0.2.7", "198.51.100.1"),
        ("10.0.0.1", "10.9.9.9, 10.0.0.2", "10.9.9.9"),
        ("10.0.0.1", "1.1.1.1, nonsense, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        ("fd00::1", "[2001:db8::1]:443", "2001:db8::1"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "198.51.100.1", "127.0.0.1"),
    ],
)
def test_the_client_is_found_past_trusted_proxies_only(client, peer, chain, client_is):
    assert see(client, peer, **({"for": chain} if chain else {}))["address"] == client_is


@pytest.mark.parametrize(("peer", "believed"), [("10.0.0.1", True), ("203.0.113.9", False)])
def test_scheme_and_host_are_a_trusted_proxys_to_say(client, peer, believed):
    seen = see(client, peer, proto="http, https", host="evil.example, app.example.com")
    assert seen["secure"] is believed
    assert seen["host"] == ("app.example.com" if believed else "localhost")


@pytest.mark.parametrize("host", ["a b", "x/../y", "user@host", "a\\b", ""])
def test_a_host_that_is_none_is_passed_over(client, host):
    assert see(client, "10.0.0.1", host=host, proto="gopher")["host"] == "localhost"


def test_only_a_direct_caller_is_this_machine(client):
    assert see(client, "127.0.0.1")["loopback"]
    assert see(client, "::1")["loopback"]
    assert not see(client, "127.0.0.1", **{"for": "127.0.0.1"})["loopback"]
    assert not see(client, "10.0.0.1", **{"for": "127.0.0.1"})["loopback"]


@pytest.mark.parametrize("path", ["//healthz", "/nowhere", "/me", "/docs", "/docs/start.js"])
def test_every_answer_carries_its_headers(client, path):
    headers = client.get(path).headers
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert "Strict-Transport-Security" not in headers
    secure = client.get(path, base_url="https://localhost").headers
    assert secure["Strict-Transport-Security"].startswith("max-age=")


@pytest.mark.parametrize("path", ["//healthz", "/nowhere", "/me"])
def test_a_named_origin_may_read(client, path):
    answer = client.get(path, headers={"Origin": PAGE})
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    assert "ETag" in answer.headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert "Origin" in answer.headers["Vary"]


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "", f"{PAGE}.evil.example", f"{PAGE}/", "http://app.example.com",
     PAGE.upper(), f"{PAGE}:443", "*"],
)  # fmt: skip
def test_another_origin_may_not(client, origin):
    preflight = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    for answer in (
        client.get("//healthz", headers={"Origin": origin}),
        client.call("OPTIONS", "/me", headers=preflight),
    ):
        assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]
        assert "Origin" in answer.headers["Vary"]


def test_a_preflight_is_answered(client):
    asked = {"Origin": PAGE, "Access-Control-Request-Method": "PATCH"}
    answer = client.call("OPTIONS", "/documents/x", headers=asked)
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (204, PAGE)
    assert "PATCH" in answer.headers["Access-Control-Allow-Methods"]
    for name in ("Authorization", "Idempotency-Key", "If-Match", "X-Tenant-Id"):
        assert name in answer.headers["Access-Control-Allow-Headers"]


def test_without_origins_nothing_is_said(tmp_path):
    environ = {"TREENAIL_DATA": str(tmp_path), "TREENAIL_PLUGINS": ""}
    headers = Client(create_app(environ, check_database=False)).get("//healthz").headers
    assert "Vary" not in headers


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("CORS_ORIGINS", "*"),
        ("CORS_ORIGINS", "https://*.example.com"),
        ("CORS_ORIGINS", "https://app.example.com/"),
        ("CORS_ORIGINS", "app.example.com"),
        ("TRUSTED_PROXIES", "everybody"),
        ("TRUSTED_PROXIES", "10.0.0.0/33"),
    ],
)
def test_what_could_never_match_stops_the_start(tmp_path, key, value):
    with pytest.raises(ConfigurationError, match=f"^TREENAIL_{key}: "):
        create_app({"TREENAIL_DATA": str(tmp_path), f"TREENAIL_{key}": value})
