"""Logs: JSON lines that say which request, and never a secret."""

import json
import logging
from typing import Any

import pytest
import structlog
from flask import Blueprint
from sqlalchemy.exc import IntegrityError
from treenail.db import system_session
from treenail.models import User
from treenail.plugin import Plugin, hookimpl
from treenail.testing import Client
from treenail.testing.callers import make_person
from treenail.web import endpoint, public

BOOM, HUSH = "boom" * 11, "hush" * 11
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl"


def open_link(token: str) -> dict[str, Any]:
    """A route whose path holds a secret."""
    logging.getLogger("somebody.else").warning("seen %s", f"/x?token={token}&page=2")
    if token == BOOM:
        raise RuntimeError(f"Authorization: Bearer {JWT}")
    return {}


class Links(Plugin):
    name = "links"
    version = "1.0"

    @hookimpl
    def blueprints(self):
        made = Blueprint("links", __name__)
        made.add_url_rule("/links/<token>", "open", endpoint(public)(open_link))
        return [made]


@pytest.fixture
def lines(build, capfd):
    app = build(Links, log_level="INFO")
    capfd.readouterr()

    def read() -> list[dict[str, Any]]:
        return [json.loads(line) for line in capfd.readouterr().err.splitlines()]

    return app, read


def test_a_request_is_one_line_of_json(lines):
    app, read = lines
    Client(app).get("//healthz", headers={"X-Request-Id": "r-1"})
    (line,) = read()
    assert line["event"] == "request"
    assert (line["method"], line["path"], line["status"]) == ("GET", "/healthz", 200)
    assert (line["request_id"], line["level"]) == ("r-1", "info")
    assert line["ms"] >= 0
    assert line["timestamp"].endswith("Z")


def test_a_line_names_who_called_and_where(lines):
    app, read = lines
    ann = make_person(app)
    tenant_id = ann.post("/tenants", {"name": "Birch"}).json["id"]
    read()
    ann.get("/me")
    (line,) = read()
    assert (line["actor_id"], line["tenant_id"]) == (ann.user_id, tenant_id)


def test_nobody_is_named_after_somebodys_request(lines):
    app, read = lines
    make_person(app).get("/me")
    Client(app).get("//healthz")
    assert "actor_id" not in read()[-1]


@pytest.mark.parametrize("word", [BOOM, HUSH])
def test_no_token_and_no_password_is_logged(lines, word: str):
    app, read = lines
    headers = {"Authorization": f"Bearer {JWT}", "Cookie": "session=hush-cookie"}
    Client(app).post(f"/links/{word}?token=hush-query", headers=headers)
    Client(app).get(f"/links/{word}?token=hush-query&password=hush-pass", headers=headers)
    Client(app).get(f"/links/{word}/", headers=headers)
    written = json.dumps(read())
    assert '"path": "/api/v1/links/[redacted]"' in written
    assert not [secret for secret in (word, "hush", JWT, JWT[:20]) if secret in written]


def test_what_is_named_like_a_secret_is_blank_however_deep(lines):
    _, read = lines
    log = structlog.get_logger("test")
    log.warning(
        "deep",
        password="hush",
        headers={"Authorization": "Basic hush", "Accept": "*/*"},
        calls=[{"api_key": "hush"}, "https://x/?token=hush"],
        refreshToken="hush",
    )
    (line,) = read()
    assert "hush" not in json.dumps(line)
    assert line["headers"]["Accept"] == "*/*"


def test_an_unexpected_error_is_logged_with_its_request(lines):
    app, read = lines
    answer = Client(app).get(f"/links/{BOOM}")
    assert (answer.status, answer.code) == (500, "internal_error")
    failed = next(line for line in read() if line["event"] == "request_failed")
    assert failed["request_id"] == answer.json["requestId"]
    assert "RuntimeError" in failed["exception"]


def test_a_database_error_holds_no_values(lines):
    app, _ = lines
    with app.app_context(), pytest.raises(IntegrityError) as error, system_session("t") as session:
        session.add_all(User(email="a@b", email_key="a@b", name="hush") for _ in range(2))
    assert "hush" not in str(error.value)


def test_the_level_is_the_settings(build, capfd):
    app = build(Links, log_level="ERROR")
    capfd.readouterr()
    Client(app).get("//healthz")
    assert capfd.readouterr().err == ""
