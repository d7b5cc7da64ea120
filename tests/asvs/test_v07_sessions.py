"""V7: sessions."""

from __future__ import annotations

import base64

import pytest
from sqlalchemy import delete
from treenail.db import system_session
from treenail.models import User
from treenail_auth import commands
from treenail_auth.testing import Session, register

NEW = "a new oak beam"


def test_v7_2_3_a_token_cannot_be_guessed(ann):
    tokens = [base64.urlsafe_b64decode(ann.session().refresh_token) for _ in range(20)]
    assert {len(token) - 22 for token in tokens} == {32}  # after id and counter 256 bits of HMAC
    assert len({token[22:] for token in tokens}) == 20


def test_v7_2_4_who_logs_in_gets_a_session_of_their_own(client, ann, bob):
    old = ann.session()
    headers = {"Authorization": f"Bearer {old.access}"}
    body = {"email": bob.email, "password": bob.password}
    answer = client.post("/auth/login", body, headers=headers).json
    assert answer["user"]["email"] == bob.email
    assert answer["accessToken"] != old.access
    assert old.me["email"] == ann.email  # whoever brought it is still nobody else
    renewed = old.refresh().json
    assert len({renewed["accessToken"], renewed["refreshToken"], old.access}) == 3


def test_v7_3_1_an_idle_session_ends(ann, after):
    session = ann.session()
    with after(days=14, seconds=1):
        assert session.refresh().status == 401


def test_v7_3_2_a_session_ends_however_often_it_is_renewed(ann, after):
    session = ann.session()
    token = session.refresh_token
    for days in (10, 20, 29):
        with after(days=days):
            token = session.refresh(token).json["refreshToken"]
    with after(days=30, seconds=1):
        assert session.refresh(token).status == 401


def test_v7_4_1_logged_out_is_out_on_the_next_request(ann):
    session = ann.session()
    assert session.call("POST", "/auth/logout").status == 204
    assert session.call("GET", "/me").status == 401
    assert session.refresh().status == 401


def test_v7_4_2_a_deleted_person_is_out_on_the_next_request(app, ann):
    session = ann.session()
    with app.app_context(), system_session("test") as found:
        found.execute(delete(User).where(User.id == session.user["id"]))
    assert session.call("GET", "/me").status == 401
    assert session.refresh().status == 401


@pytest.mark.parametrize("change", ["password", "reset", "totp on", "totp off"])
def test_v7_4_3_a_changed_factor_ends_other_sessions(client, ann, mailed_token, change):
    session = ann.session()
    app = session.enrol() if change == "totp off" else None
    ticket = {"mfaToken": ann.log_in().json.get("mfaToken"), "code": app.code(1) if app else ""}
    other = (
        Session(client, **client.post("/auth/mfa/verify", ticket).json) if app else ann.session()
    )
    assert other.is_alive
    if change == "password":
        session.patch(password=NEW, currentPassword=ann.password)
    elif change == "reset":
        client.post("/auth/password/forgot", {"email": ann.email})
        token = mailed_token(ann.email, "reset-password")
        client.post("/auth/password/reset", {"token": token, "password": NEW})
    elif change == "totp on":
        session.enrol()
    else:
        session.call("DELETE", "/me/totp")
    assert not other.is_alive


def test_v7_4_5_operators_end_a_persons_sessions_or_all(app, ann, bob):
    sessions = [ann.session(), bob.session()]
    run = app.test_cli_runner().invoke
    assert run(commands.group, ["end", "--email", ann.email]).exit_code == 0
    assert [session.is_alive for session in sessions] == [False, True]
    assert run(commands.group, ["end", "--everybody"]).exit_code == 0
    assert not sessions[1].is_alive


def test_v7_5_1_what_concerns_authentication_takes_a_fresh_proof(ann, after):
    session = ann.session()
    acts = [
        lambda: session.patch(password=NEW, currentPassword=ann.password),
        lambda: session.patch(email="else@example.com"),
        lambda: session.call("POST", "/me/totp"),
        lambda: session.call("POST", "/me/totp/confirm", {"code": "123456"}),
        lambda: session.call("DELETE", "/me/totp"),
    ]
    with after(minutes=11):
        assert [act().code for act in acts] == ["reauthentication_required"] * 5
        assert session.reauthenticate(password=ann.password).status == 204
        assert "reauthentication_required" not in acts[2]().response.text


def test_v7_5_2_one_sees_and_ends_ones_sessions(client):
    carol = register(client)
    session, other = carol.session(), carol.session()
    shown = session.call("GET", "/me/sessions").json["items"]
    assert sorted(s["current"] for s in shown) == [False, True]
    [foreign] = [s["id"] for s in shown if not s["current"]]
    assert session.call("DELETE", f"/me/sessions/{foreign}").status == 204
    assert (session.is_alive, other.is_alive) == (True, False)
