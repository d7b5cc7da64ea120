"""Logging in with a password."""

import time
from statistics import median

import bcrypt
import pytest
from sqlalchemy import update
from treenail.db import system_session
from treenail.ids import uuid7
from treenail.models import User
from treenail.testing.callers import make_person
from treenail_auth import passwords
from treenail_auth.models import Password

LONG = "A treenail joins two timbers; it needs no iron, and swells as it is wet. " * 4


def stored_hash(app, email):
    with app.app_context(), system_session("test", read_only=True) as session:
        query = session.query(Password.hash).join(User, User.id == Password.user_id)
        return query.filter(User.email == email).scalar()


def test_a_login_answers_tokens_and_person(ann, captured_events):
    answer = ann.log_in()
    assert answer.status == 200
    body = answer.json
    assert (body["tokenType"], body["expiresIn"]) == ("Bearer", 900)
    assert body["user"].keys() == {"id", "email", "name"}
    assert body["redirectTo"] is None
    [event] = captured_events("user.logged_in")
    assert event.data["userId"] == event.actor_id == body["user"]["id"]
    assert event.data["amr"] == ["pwd"]
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_email_may_be_spelt_otherwise(client, ann):
    body = {"email": ann.email.upper(), "password": ann.password}
    assert client.post("/auth/login", body).status == 200


def test_an_international_domain_may_be_spelt_in_ascii(client):
    body = {"email": f"{uuid7()}@exämple.de", "password": "long enough"}
    client.post("/auth/register", body | {"name": "Ann"})
    body["email"] = body["email"].replace("exämple", "xn--exmple-cua")
    assert client.post("/auth/login", body).status == 200


def test_hashes_are_no_use_without_the_deployments_secret(elsewhere, ann):
    body = {"email": ann.email, "password": ann.password}
    assert elsewhere.post("/auth/login", body).code == "invalid_credentials"


def test_wrong_password_and_unknown_email_answer_alike(client, ann):
    wrong = ann.log_in("wrong password")
    unknown = client.post("/auth/login", {"email": "x@example.com", "password": "wrong password"})
    assert (wrong.status, wrong.code) == (401, "invalid_credentials")
    assert {**wrong.json, "requestId": ""} == {**unknown.json, "requestId": ""}
    assert wrong.headers["WWW-Authenticate"] == unknown.headers["WWW-Authenticate"] == "Bearer"


def test_unknown_email_costs_a_real_comparison(app, client, ann, monkeypatch):
    compared = []
    slow = bcrypt.checkpw
    spy = lambda password, known: compared.append(known[:7]) or slow(password, known)  # noqa: E731
    monkeypatch.setattr(bcrypt, "checkpw", spy)
    without_password = make_person(app)
    for email in ("x@example.com", "not an address", without_password.email, ann.email):
        body = {"email": email, "password": "wrong password"}
        assert client.post("/auth/login", body).code == "invalid_credentials"
    assert compared == [b"$2b$04$"] * 4


def test_unknown_email_takes_as_long(app, client, ann, monkeypatch):
    # At cost 9 a hash outweighs the rest of the request.
    settings = app.extensions["treenail"].registry.plugins["auth"]
    monkeypatch.setattr(settings, "settings", type(settings.settings)(bcrypt_rounds=9))
    ann.log_in()  # renews its hash at this cost

    def seconds(email):
        began = time.perf_counter()
        client.post("/auth/login", {"email": email, "password": "wrong password"})
        return time.perf_counter() - began

    pairs = [(seconds(ann.email), seconds("x@example.com")) for _ in range(9)]  # taken in turns
    known, unknown = (median(times) for times in zip(*pairs, strict=True))
    assert 0.6 < unknown / known < 1.67


def test_redirect_leads_into_the_sole_tenant(ann):
    first = ann.session()
    tenant_id = first.call("POST", "/tenants", {"name": "Ash"}).json["id"]
    assert ann.session().redirect_to == f"/tenant/{tenant_id}/client/dashboard"
    first.call("POST", "/tenants", {"name": "Birch"})
    assert ann.session().redirect_to is None


def test_the_event_belongs_to_the_sole_tenant(ann, captured_events):
    tenant_id = ann.session().call("POST", "/tenants", {"name": "Ash"}).json["id"]
    ann.session()
    assert [e.tenant_id for e in captured_events("user.logged_in")] == [None, tenant_id]


@pytest.mark.parametrize(
    "password",
    [
        LONG[:72] + "y",
        "🌳🪵🪓🔨🪚🧰📐🏠🚪",
        "éàü, " * 51 + "ñ",
        " leading and trailing ",
        "pässwörd",
        "a b c d e f g h",
        LONG[:256],
    ],
)
def test_every_character_of_a_password_counts(make_account, password):
    account = make_account(password=password)
    assert account.log_in().status == 200
    changed = [password[:-1], password[1:], password[:-1] + "z", password.swapcase() + "!"]
    for other in {p for p in changed if p != password and len(p) <= 256}:
        assert account.log_in(other).status == 401


def test_too_long_a_password_is_refused_before_hashing(ann):
    assert ann.log_in("x" * 257).status == 422


def test_unknown_fields_are_refused(client):
    body = {"email": "x@example.com", "password": "long enough", "admin": True}
    assert client.post("/auth/login", body).status == 422
    assert client.post("/auth/refresh", {"refreshToken": "x", "sub": "y"}).status == 422


def test_a_hash_of_another_cost_is_renewed(app, ann):
    with app.app_context():
        stronger = bcrypt.hashpw(passwords._prehash(ann.password), bcrypt.gensalt(5)).decode()
        with system_session("test") as session:
            user_id = session.query(User.id).filter(User.email == ann.email).scalar()
            session.execute(
                update(Password).where(Password.user_id == user_id).values(hash=stronger)
            )
    assert ann.log_in("wrong password").status == 401
    assert stored_hash(app, ann.email) == stronger
    assert ann.log_in().status == 200
    assert stored_hash(app, ann.email).startswith("$2b$04$")
    assert ann.log_in().status == 200


def test_a_password_changed_meanwhile_lets_nobody_in(app, ann, monkeypatch):
    checked = passwords.matches

    def change_then_answer(password, known):
        found = checked(password, known)
        with system_session("test") as session:
            row = session.query(Password).filter(Password.hash == known).one()
            row.changed_at = row.changed_at.replace(year=2001)
        return found

    monkeypatch.setattr(passwords, "matches", change_then_answer)
    assert ann.log_in().code == "invalid_credentials"
