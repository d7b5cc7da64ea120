"""V16: logging and errors, with the log of a real server."""

from __future__ import annotations

import json
import re

import pyotp
import pytest
from treenail.plugin import Plugin, hookimpl
from treenail.testing import LiveServer

PASSWORD, OTHER = "canary&cage beam one", "canary&cage beam two"
LOG_LEVEL = "TREENAIL_LOG_LEVEL"


class Faulty(Plugin):
    """Fails whenever it is asked about one permission."""

    name = "faulty"
    version = "1.0"

    @hookimpl
    def rules(self, principal, permission, resource_type):
        if permission == "workspace:update":
            raise RuntimeError(f"secret inside of {principal.user_id}")
        return []


@pytest.fixture(scope="module")
def plugins() -> dict[str, type[Plugin]]:
    return {"faulty": Faulty}


@pytest.fixture(scope="module")
def environ(environ: dict[str, str]) -> dict[str, str]:
    names = "auth,rbac,workspaces,collab,faulty"
    return {**environ, "TREENAIL_PLUGINS": names, LOG_LEVEL: "INFO"}


@pytest.fixture(scope="module")
def server(deployment: dict[str, str]):
    """Really served, without the plugin that this test made up."""
    names = deployment["TREENAIL_PLUGINS"].removesuffix(",faulty")
    with LiveServer({**deployment, "TREENAIL_PLUGINS": names}) as running:
        yield running


def lines(server) -> list[dict]:
    """What the server logged, every line JSON, after what it printed while it migrated."""
    text = server.log.read_text().split("\n")
    first = next(number for number, line in enumerate(text) if line.startswith("{"))
    return [json.loads(line) for line in text[first:] if line]


def use_every_secret(server, email: str) -> list[str]:
    """Go through every door with every kind of secret, well and badly; returns them all."""
    call = server.call
    account = {"email": email, "password": PASSWORD}
    call("POST", "/auth/register", {**account, "name": "Ann"})
    call("POST", "/auth/login", {**account, "password": OTHER})
    _, pair = call("POST", "/auth/login", account)
    token = pair["accessToken"]
    _, second = call("POST", "/auth/refresh", {"refreshToken": pair["refreshToken"]})
    call("GET", f"/me?token={token}")
    call("GET", f"/nowhere/{token}")
    call("GET", "/me", token=token + "x")
    call("POST", "/auth/login", {"password": {"nested": PASSWORD}, "e": second["refreshToken"]})
    _, seed = call("POST", "/me/totp", token=token)
    code = pyotp.TOTP(seed["secret"]).now()
    _, confirmed = call("POST", "/me/totp/confirm", {"code": code}, token=token)
    _, first = call("POST", "/auth/login", account)
    body = {"mfaToken": first["mfaToken"], "code": confirmed["recoveryCodes"][0]}
    call("POST", "/auth/mfa/verify", body)
    change = {"password": OTHER, "currentPassword": PASSWORD}
    assert call("PATCH", "/me", change, token=token)[0] == 200
    call("POST", "/auth/password/reset", {"token": first["mfaToken"], "password": OTHER})
    call("POST", "/auth/logout", {}, token=token)
    tokens = [token, pair["refreshToken"], second["accessToken"], second["refreshToken"]]
    return [
        PASSWORD,
        OTHER,
        *tokens,
        seed["secret"],
        first["mfaToken"],
        *confirmed["recoveryCodes"],
    ]


def test_v16_2_5_no_secret_reaches_the_log(server):
    secrets = use_every_secret(server, "canary@example.com")
    log = server.log.read_text()
    assert log.count("/auth/login") >= 3
    assert [secret for secret in secrets if secret in log] == []


def about(found: list[dict], request_id: str) -> list[dict]:
    return [line for line in found if line.get("request_id") == request_id]


def test_v16_3_1_log_ins_good_and_bad_are_logged(server, journey):
    account = {"email": journey.ann.email, "password": OTHER}
    server.call("POST", "/auth/login", account, X_Request_Id="bad-1")
    found = about(lines(server), "bad-1")
    assert [line["event"] for line in found] == ["authentication_failed", "request"]
    assert (found[1]["path"], found[1]["status"]) == ("/api/v1/auth/login", 401)
    assert found[0]["timestamp"].endswith("Z")


def test_v16_3_2_denials_are_logged_with_who_and_where(server, journey):
    guest = journey.member("guest")
    path = f"/tenants/{journey.tenant}/members"
    status, _ = server.call("GET", path, token=guest.token, X_Request_Id="denied-1")
    assert status == 403
    [line] = about(lines(server), "denied-1")
    assert (line["status"], line["actor_id"], line["tenant_id"]) == (403, guest.id, journey.tenant)
    assert line["path"].endswith(path)


def test_v16_3_3_attempts_at_getting_around_are_logged(server, journey):
    tries = {
        "around-1": ("GET", "/me", None, "a.b.c"),
        "around-2": ("POST", "/tenants", {"name": "x", "id": journey.tenant}, journey.ann.token),
        "around-3": ("GET", "/docs/..%2f..%2fsetup.cfg", None, None),
    }
    for request_id, (method, path, body, token) in tries.items():
        server.call(method, path, body, token, X_Request_Id=request_id)
    found = lines(server)
    assert [about(found, name)[-1]["status"] for name in tries] == [401, 422, 404]


def test_v16_4_1_nobody_writes_a_line_of_the_log(server, journey):
    forged = 'x\r\n{"event": "forged", "level": "info"}\u2028\x1b[2J'
    server.call("POST", "/auth/login", {"email": forged, "password": forged})
    journey.ann.call("POST", "/workspaces", {"name": forged})
    server.call("GET", "/nowhere/%0d%0a%7B%22event%22%3A%22forged%22%7D")
    server.call("GET", "/nowhere/%0d%0aforged")
    server.call("GET", "/me", token="x", User_Agent="forged\tagent")
    assert "forged" not in [line["event"] for line in lines(server)]
    assert not re.search("[\x00-\x09\x0b-\x1f\u2028]", server.log.read_text())


def test_v16_5_1_an_unexpected_error_tells_its_number_alone(app, tenant, caplog, monkeypatch):
    boom = lambda *given: 1 / 0  # noqa: E731
    monkeypatch.setattr("treenail.tenants.services.members", boom)
    answer = tenant.owner.get(f"/tenants/{tenant.id}/members")
    assert (answer.status, answer.code) == (500, "internal_error")
    assert "ZeroDivision" not in answer.response.text
    assert answer.json["requestId"] == answer.headers["X-Request-Id"]
    assert answer.json["requestId"] in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_v16_5_3_a_rule_that_fails_denies(tenant, caplog):
    made = tenant.owner.post("/workspaces", {"name": "Joinery"}).json
    answer = tenant.owner.patch(f"/workspaces/{made['id']}", {"name": "Smithy"})
    assert (answer.status, answer.code) == (403, "permission_denied")
    assert "secret inside" not in answer.response.text
    assert tenant.owner.get(f"/workspaces/{made['id']}").json["name"] == "Joinery"
    assert "rules_failed" in caplog.text
