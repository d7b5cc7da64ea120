"""What the start refuses, and what the token libraries may not do."""

import jwt
import pytest
from flask import Blueprint
from flask_jwt_extended.exceptions import NoAuthorizationError
from treenail.app import create_app
from treenail.errors import ConfigurationError
from treenail.plugin import Plugin, hookimpl
from treenail.web import endpoint, public

KEYS = {
    "TREENAIL_SECRET_KEY": "a secret of at least 32 bytes, really",
    "TREENAIL_ENCRYPTION_KEYS": "k1:" + "A" * 43 + "=",
}
blueprint = Blueprint("careless", __name__)


@blueprint.get("/careless")
@endpoint(public)
def careless():
    raise Careless.error("spoilt")


class Careless(Plugin):
    """Lets the libraries' exceptions out."""

    name, version = "careless", "1.0"
    error = Exception

    @hookimpl
    def blueprints(self):
        return [blueprint]


@pytest.fixture(scope="module")
def plugins():
    return {"careless": Careless}


@pytest.fixture(scope="module")
def environ():
    return {"TREENAIL_PLUGINS": "auth,careless", "TREENAIL_AUTH_BCRYPT_ROUNDS": "4"}


def start(tmp_path, **settings):
    own = {"TREENAIL_DATA": str(tmp_path), "TREENAIL_PLUGINS": "auth", **KEYS}
    return create_app(own | settings, check_database=False)


def test_production_refuses_cheap_hashes(tmp_path):
    cheap = {"TREENAIL_ENV": "production", "TREENAIL_AUTH_BCRYPT_ROUNDS": "9"}
    with pytest.raises(ConfigurationError, match=r"TREENAIL_AUTH_BCRYPT_ROUNDS.*at least 10"):
        start(tmp_path, **cheap)
    start(tmp_path, **cheap | {"TREENAIL_AUTH_BCRYPT_ROUNDS": "10"})


@pytest.mark.parametrize("rounds", ["3", "17", "many", ""])
def test_impossible_costs_stop_the_start(tmp_path, rounds):
    with pytest.raises(ConfigurationError, match="TREENAIL_AUTH_BCRYPT_ROUNDS"):
        start(tmp_path, TREENAIL_AUTH_BCRYPT_ROUNDS=rounds)


def test_an_unknown_setting_stops_the_start(tmp_path):
    with pytest.raises(ConfigurationError, match=r"TREENAIL_AUTH_BCRYPT_ROUND$"):
        start(tmp_path, TREENAIL_AUTH_BCRYPT_ROUND="12")


def test_the_default_cost_is_twelve(tmp_path):
    plugin = start(tmp_path).extensions["treenail"].registry.plugins["auth"]
    assert plugin.settings.bcrypt_rounds == 12


@pytest.mark.parametrize("error", [jwt.ExpiredSignatureError, NoAuthorizationError])
def test_the_token_libraries_answer_nothing_of_their_own(client, monkeypatch, error):
    # Not 401 either: it was another plugin's mistake, not the caller's.
    monkeypatch.setattr(Careless, "error", error)
    answer = client.get("/careless")
    assert (answer.status, answer.code) == (500, "internal_error")
    assert answer.response.content_type == "application/problem+json"


def test_answers_and_addresses_are_described(client):
    paths = client.get("/openapi.json").json["paths"]
    assert paths["/api/v1/auth/login"]["post"]["security"] == []
    assert paths["/api/v1/auth/logout"]["post"]["security"] == [{"bearer": []}]
    names = {kind["name"] for kind in client.get("/event-types").json["items"]}
    assert {"user.registered", "user.logged_in", "session.ended"} <= names
