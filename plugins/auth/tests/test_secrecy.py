"""Passwords and tokens reach no log, no event and no error."""

import logging
from dataclasses import dataclass

import pytest
from sqlalchemy import select
from treenail.cli import operators
from treenail.db import system_session
from treenail.events import OutboxEvent
from treenail.ids import uuid7
from treenail_auth import credentials

RESETS = ("/auth/password/reset", "/auth/verify-email")
JSON = {"Content-Type": "application/json"}


@dataclass
class Journey:
    """What was answered and logged along the way, and which words must not be seen."""

    answers: list
    logged: str
    secrets: list

    def leaks(self, text):
        return [secret for secret in self.secrets if secret in text]


def use_tokens_and_codes(client, bob, mailed_token):
    """Spend one of each kind; returns them all."""
    verify = mailed_token(bob.email, "verify-email")
    client.post("/auth/verify-email", {"token": verify})
    client.post("/auth/password/forgot", {"email": bob.email})
    reset = mailed_token(bob.email, "reset-password")
    bob.password = "bob's oak beam"
    client.post("/auth/password/reset", {"token": reset, "password": bob.password})
    session = bob.session()
    session.patch(email=f"{uuid7()}@example.com", password="bob's elm", currentPassword="bob's ash")
    session.reauthenticate(password="bob's yew")
    app = session.enrol()
    ticket = bob.log_in().json["mfaToken"]
    client.post("/auth/mfa/verify", {"mfaToken": ticket, "code": app.recovery_codes[0]})
    words = [bob.password, "bob's elm", "bob's ash", "bob's yew"]
    return [verify, reset, *words, app.totp.secret, *app.recovery_codes, ticket]


@pytest.fixture
def journey(client, ann, bob, mailed_token, caplog):
    """Everything that can be done with a secret, well and badly."""
    caplog.set_level(logging.DEBUG)
    used = use_tokens_and_codes(client, bob, mailed_token)
    session, other = ann.session(), ann.session()
    second = session.refresh().json
    third = session.refresh(second["refreshToken"]).json
    other.call("POST", "/auth/logout")
    answers = [
        ann.log_in("a wrong secret"),
        session.refresh(),  # reused
        session.call("GET", "/me"),
        client.get(f"/me?token={second['accessToken']}"),
        client.post("/auth/register", {"password": "short 1", "token": "hunter22"}),
        client.post("/auth/login", {"email": 1, "password": "another secret"}),
        client.post("/auth/refresh", {"refreshToken": "spoilt-secret"}),
        client.call("POST", "/auth/login", data=b'{"password": "broken secret', headers=JSON),
        *(client.post(path, {"token": used[0], "password": "password1"}) for path in RESETS),
        client.post("/auth/mfa/verify", {"mfaToken": used[-1], "code": used[-2]}),
    ]
    secrets = [*used, ann.password, "a wrong secret", "short 1", "hunter22", "another secret"]
    secrets += ["spoilt-secret", "broken secret"]
    for pair in (vars(session), vars(other)):
        secrets += [pair["access"], pair["refresh_token"]]
    for pair in (second, third):
        secrets += [pair["accessToken"], pair["refreshToken"]]
    return Journey(answers, caplog.text, secrets)


def test_logs_hold_no_secret(journey):
    assert journey.logged.count("/api/v1/auth/login") == 7
    assert journey.leaks(journey.logged) == []


def test_errors_hold_no_secret(journey):
    assert all(answer.status >= 400 for answer in journey.answers)
    bodies = [answer.response.get_data(as_text=True) for answer in journey.answers]
    assert journey.leaks("".join(bodies)) == []


def test_events_hold_no_secret(app, journey):
    with app.app_context(), system_session("test", read_only=True) as session:
        stored = "".join(str(event.event()) for event in session.scalars(select(OutboxEvent)))
    assert "session.ended" in stored
    assert journey.leaks(stored) == []


def test_a_failing_step_logs_no_password(app, caplog, monkeypatch):
    monkeypatch.setattr(credentials, "Password", None)  # the step fails
    arguments = ["create", "--email", f"{uuid7()}@example.com", "--name", "Olga"]
    result = app.test_cli_runner().invoke(operators.group, [*arguments, "--password", "shibboleth"])
    assert result.exit_code == 1
    assert "provisioning_step_failed" in caplog.text
    assert "shibboleth" not in caplog.text + result.output
