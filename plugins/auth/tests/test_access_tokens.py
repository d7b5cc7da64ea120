"""Access tokens: what is in them, and that a bad one is always a 401."""

import base64
import json
from datetime import timedelta

import jwt
import pytest
import time_machine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from treenail.clock import utcnow
from treenail.crypto import derive
from treenail.ids import uuid7

NOBODY = "01890a5d-ac96-774b-bcce-b302099a8057"
FUZZ = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None
)


def claims_of(token):
    return jwt.decode(token, options={"verify_signature": False})


def get_me(client, authorization):
    return client.get("/me", headers={"Authorization": authorization})


def key_of(app):
    return derive(app.extensions["treenail"].settings.secret_key, "treenail.auth.access")


def is_refused(answer):
    challenge = answer.headers["WWW-Authenticate"]
    return (answer.status, answer.code, challenge) == (401, "unauthenticated", "Bearer")


def test_a_token_names_person_and_session_but_no_rights(ann):
    session = ann.session()
    claims = claims_of(session.access)
    assert claims["sub"] == session.user["id"]
    assert {"sid", "aud", "iss", "exp", "jti", "amr", "auth_time"} <= claims.keys()
    assert claims["exp"] - claims["iat"] == 900
    assert claims["amr"] == ["pwd"]
    assert claims["iat"] - claims["auth_time"] in (0, 1)  # the log-in may cross a second
    assert not claims.keys() & {"roles", "role", "permissions", "tenant", "tenant_id", "email"}


def test_the_scheme_is_case_insensitive(client, ann):
    assert get_me(client, f"bearer {ann.session().access}").status == 200


def test_an_expired_token_is_refused(ann):
    session = ann.session()
    with time_machine.travel(utcnow() + timedelta(minutes=14, seconds=50)):
        assert session.is_alive
    with time_machine.travel(utcnow() + timedelta(minutes=15, seconds=10)):
        assert is_refused(session.call("GET", "/me"))


def test_a_tampered_token_is_refused(client, ann):
    header, payload, signature = ann.session().access.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    claims["sub"] = uuid7()
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    assert is_refused(get_me(client, f"Bearer {header}.{forged}.{signature}"))
    assert is_refused(get_me(client, f"Bearer {header}.{payload}.{signature[::-1]}"))
    assert is_refused(get_me(client, f"Bearer {header}.{payload}."))


@pytest.mark.parametrize("algorithm", ["none", "HS384", "HS512"])
def test_another_algorithm_is_refused(app, client, ann, algorithm):
    claims = claims_of(ann.session().access)
    key = None if algorithm == "none" else key_of(app) * 2
    forged = jwt.encode(claims, key, algorithm=algorithm)
    assert is_refused(get_me(client, f"Bearer {forged}"))


@pytest.mark.parametrize(
    "changes",
    [{"aud": "other"}, {"iss": "other"}, {"aud": None}, {"sub": NOBODY}, {"sid": NOBODY}],
)
def test_a_signed_token_for_another_purpose_is_refused(app, client, ann, changes):
    claims = claims_of(ann.session().access) | changes
    claims = {name: value for name, value in claims.items() if value is not None}
    forged = jwt.encode(claims, key_of(app), algorithm="HS256")
    assert is_refused(get_me(client, f"Bearer {forged}"))


def test_a_token_of_another_deployment_is_refused(elsewhere, client, ann):
    token = ann.session().access
    assert is_refused(get_me(elsewhere, f"Bearer {token}"))
    assert get_me(client, f"Bearer {token}").status == 200


def test_a_refresh_token_is_no_access_token(client, ann):
    assert is_refused(get_me(client, f"Bearer {ann.session().refresh_token}"))


def test_a_token_counts_in_the_header_alone(client, ann):
    token = ann.session().access
    assert is_refused(client.get(f"/me?jwt={token}&token={token}&access_token={token}"))
    assert is_refused(client.get("/me", headers={"Cookie": f"access_token_cookie={token}"}))


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Bearer a.b.c", "Basic YTpi", "x"])
def test_other_credentials_are_refused(client, header):
    assert is_refused(get_me(client, header))


GARBAGE = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"))


@FUZZ
@given(GARBAGE, GARBAGE, GARBAGE, st.booleans())
def test_garbage_is_always_a_401(client, first, second, third, encode):
    parts = [first, second, third]
    if encode:
        parts = [base64.urlsafe_b64encode(p.encode()).decode().rstrip("=") for p in parts]
    assert is_refused(get_me(client, "Bearer " + ".".join(parts)))


HEADERS = st.dictionaries(
    st.sampled_from(["alg", "typ", "kid", "crit", "b64", "jku", "jwk"]),
    st.one_of(st.none(), st.text(max_size=8), st.integers(), st.just("HS256"), st.just("RS256")),
)


@FUZZ
@given(HEADERS, st.one_of(st.none(), st.integers(), st.dictionaries(st.text(), st.integers())))
def test_a_jwt_of_any_header_without_the_key_is_a_401(client, header, payload):
    parts = [json.dumps(part).encode() for part in (header, payload)] + [b"signature"]
    token = ".".join(base64.urlsafe_b64encode(p).decode().rstrip("=") for p in parts)
    assert is_refused(get_me(client, f"Bearer {token}"))


@pytest.mark.parametrize("bomb", ["[" * 5000, '{"a":' * 1000, "9" * 5000, '{"exp":1e999}', "NaN"])
@pytest.mark.parametrize("place", [0, 1])
def test_json_that_breaks_parsers_is_a_401(client, bomb, place):
    parts = ['{"alg":"HS256","typ":"JWT"}', "{}"]
    parts[place] = bomb
    token = ".".join(base64.urlsafe_b64encode(p.encode()).decode().rstrip("=") for p in parts)
    assert is_refused(get_me(client, f"Bearer {token}.c2ln"))
