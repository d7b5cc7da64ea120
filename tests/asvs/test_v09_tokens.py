"""V9: self-contained tokens, and V10.4: refresh tokens."""

from __future__ import annotations

import base64
import json
import threading

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from treenail.crypto import derive
from treenail.ids import uuid7

ELSEWHERE = "https://evil.example/keys"


@pytest.fixture
def key(app) -> bytes:
    """What access tokens are signed with."""
    return derive(app.extensions["treenail"].settings.secret_key, "treenail.auth.access")


@pytest.fixture
def claims(ann) -> dict:
    """Those of a good token."""
    return jwt.decode(ann.session().access, options={"verify_signature": False})


@pytest.fixture
def status(client):
    return lambda token: client.get("/me", headers={"Authorization": f"Bearer {token}"}).status


def encoded(part) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def test_v9_1_1_a_changed_token_is_refused(ann, status, claims):
    header, _, signature = ann.session().access.split(".")
    assert status(f"{header}.{encoded(claims | {'sub': uuid7()})}.{signature}") == 401
    assert status(f"{header}.{encoded(claims)}.") == 401


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "HS384", "HS512"])
def test_v9_1_2_one_algorithm_is_allowed(status, claims, key, algorithm):
    if algorithm.startswith("HS"):
        assert status(jwt.encode(claims, key * 2, algorithm=algorithm)) == 401
    assert status(f"{encoded({'alg': algorithm, 'typ': 'JWT'})}.{encoded(claims)}.") == 401


def test_v9_1_2_a_public_key_signs_nothing(status, claims):
    private = ec.generate_private_key(ec.SECP256R1())
    assert status(jwt.encode(claims, private, algorithm="ES256")) == 401


@pytest.mark.parametrize(
    "header", [{"jku": ELSEWHERE}, {"x5u": ELSEWHERE}, {"kid": "../../dev/null"}, {"kid": "other"}]
)
def test_v9_1_3_keys_come_from_the_deployment_alone(status, claims, key, header):
    assert status(jwt.encode(claims, b"a stranger's key, 32 bytes of it", headers=header)) == 401
    assert status(jwt.encode(claims, key, headers=header)) == 200  # what it says is passed over


def test_v9_1_3_a_key_in_the_token_is_passed_over(status, claims):
    own = b"a stranger's key, 32 bytes of it"
    jwk = {"kty": "oct", "k": base64.urlsafe_b64encode(own).decode().rstrip("=")}
    assert status(jwt.encode(claims, own, headers={"jwk": jwk})) == 401


def test_v9_2_1_a_token_counts_in_its_time_alone(status, claims, key):
    now = claims["iat"]
    for changes in ({"exp": now - 60}, {"nbf": now + 600}, {"iat": now + 600}):
        assert status(jwt.encode(claims | changes, key)) == 401, changes


def test_v9_2_2_each_token_is_good_for_one_thing(client, ann, status, claims, key):
    session = ann.session()
    assert status(session.refresh_token) == 401
    for token in (session.access, jwt.encode(claims, key)):
        assert session.refresh(token).status in (401, 422)  # it is too long for one
        body = {"token": token, "password": "oak beams"}
        assert client.post("/auth/password/reset", body).status == 422
    assert status(jwt.encode(claims | {"type": "refresh"}, key)) == 401


@pytest.mark.parametrize("changes", [{"aud": "other"}, {"aud": None}, {"iss": "other"}])
def test_v9_2_3_a_token_is_meant_for_this_service(status, claims, key, changes):
    changed = {k: v for k, v in (claims | changes).items() if v is not None}
    assert status(jwt.encode(changed, key)) == 401


def test_v10_4_5_a_refresh_token_used_again_ends_the_session(ann, after):
    session = ann.session()
    second = session.refresh().json["refreshToken"]
    third = session.refresh(second).json["refreshToken"]
    assert session.refresh().code == "token_reused"  # a thief's, two generations old
    assert session.refresh(third).status == 401
    assert not session.is_alive
    late = ann.session()
    late.refresh()
    with after(seconds=11):
        assert late.refresh().code == "token_reused"


def test_v10_4_5_windows_that_ask_at_once_get_the_same_successor(ann):
    session, found = ann.session(), []
    threads = [
        threading.Thread(target=lambda: found.append(session.refresh().json["refreshToken"]))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 2
    assert len(set(found)) == 1
    assert session.refresh(found[0]).status == 200


def test_v10_4_8_refresh_tokens_have_an_end_that_does_not_slide(ann, after):
    session = ann.session()
    token = session.refresh_token
    for days in (13, 26, 29.9):
        with after(days=days):
            token = session.refresh(token).json["refreshToken"]
    with after(days=30, seconds=1):
        assert session.refresh(token).status == 401
