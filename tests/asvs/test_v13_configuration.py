"""V13: configuration."""

from __future__ import annotations

import base64

import pytest
from treenail.app import create_app
from treenail.errors import ConfigurationError
from treenail.testing import Client

GOOD = {
    "TREENAIL_ENV": "production",
    "TREENAIL_PLUGINS": "auth",
    "TREENAIL_SECRET_KEY": "s" * 40,
    "TREENAIL_ENCRYPTION_KEYS": "k1:" + base64.b64encode(b"k" * 32).decode(),
    "TREENAIL_PUBLIC_URL": "https://app.example.com",
}


@pytest.fixture
def produce(tmp_path):
    """The app of a production with these settings besides; None leaves one out."""

    def make(**changes: str | None) -> Client:
        given = {f"TREENAIL_{key}": value for key, value in changes.items()}
        merged = {**GOOD, "TREENAIL_DATA": str(tmp_path), **given}
        environ = {key: value for key, value in merged.items() if value is not None}
        return Client(create_app(environ, check_database=False))

    return make


@pytest.mark.parametrize("key", ["SECRET_KEY", "ENCRYPTION_KEYS"])
@pytest.mark.parametrize("value", [None, "", "changeme", "k1:c2hvcnQ="])
def test_v13_3_1_production_refuses_missing_and_short_secrets(produce, key, value):
    with pytest.raises(ConfigurationError, match=key):
        produce(**{key: value})


def test_v13_4_2_production_answers_errors_without_their_inside(produce):
    client = produce()
    assert client.app.debug is False
    assert client.app.testing is False
    answer = client.get("/me", headers={"Authorization": "Bearer a.b.c"})
    assert answer.status == 401
    assert client.get("/console").status == 404


def test_v13_4_5_figures_are_for_this_machine_or_a_token(produce):
    token = "a token of the monitoring"
    client = produce(METRICS_TOKEN=token)
    stranger = {"environ_overrides": {"REMOTE_ADDR": "203.0.113.9"}}
    assert client.get("//metrics", **stranger).status == 401
    bearer = {"Authorization": f"Bearer {token}"}
    assert client.get("//metrics", headers=bearer, **stranger).status == 200


def test_v13_4_5_the_description_can_be_kept_back(produce):
    assert produce().get("/openapi.json").status == 200
    shy = produce(API_DOCS="off")
    assert {shy.get(path).status for path in ("/openapi.json", "/docs", "/docs/start.js")} == {404}
