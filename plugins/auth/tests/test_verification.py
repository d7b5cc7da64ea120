"""Verifying an e-mail address with the token that was mailed to it."""

import threading

import pytest
from sqlalchemy import select
from treenail.db import system_session
from treenail_auth.models import Ticket


def verify(client, token):
    return client.post("/auth/verify-email", {"token": token})


@pytest.fixture
def token(ann, mailed_token):
    return mailed_token(ann.email, "verify-email")


def test_registering_mails_a_link_that_verifies(client, ann, token, captured_events):
    assert ann.session().me["emailVerified"] is False
    assert verify(client, token).status == 204
    session = ann.session()
    assert session.me["emailVerified"] is True
    assert [e.data for e in captured_events("user.email_verified")] == [
        {"userId": session.user["id"]}
    ]


def test_a_token_is_long_and_kept_hashed(app, token):
    assert len(token) == 43  # 256 bits in base64
    with app.app_context(), system_session("test", read_only=True) as session:
        hashes = session.scalars(select(Ticket.hash)).all()
    assert token.encode() not in hashes
    assert all(len(found) == 32 for found in hashes)


def test_verifying_ends_sessions_made_before(client, ann, token, captured_events):
    session = ann.session()
    verify(client, token)
    assert not session.is_alive
    assert [e.data["reason"] for e in captured_events("session.ended")] == ["email_verified"]


def test_a_token_verifies_once(client, token):
    assert verify(client, token).status == 204
    again = verify(client, token)
    assert (again.status, again.code, list(again.json["errors"])) == (422, "bad_token", ["token"])


def test_of_many_at_once_one_verifies(client, token):
    statuses = []
    run = lambda: statuses.append(verify(client, token).status)  # noqa: E731
    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [204] + [422] * 7


def test_a_token_is_good_for_three_days(client, ann, bob, token, mailed_token, after):
    with after(days=2, hours=23):
        assert verify(client, token).status == 204
    with after(days=3, minutes=1):
        assert verify(client, mailed_token(bob.email, "verify-email")).code == "bad_token"


@pytest.mark.parametrize("token", ["x", "x" * 43, "é", " "])
def test_what_nobody_was_mailed_verifies_nothing(client, token):
    assert verify(client, token).code == "bad_token"


def test_a_token_is_good_for_its_purpose_alone(client, token):
    body = {"token": token, "password": "a new oak beam"}
    assert client.post("/auth/password/reset", body).code == "bad_token"
    assert client.post("/auth/confirm-email", {"token": token}).code == "bad_token"
    assert verify(client, token).status == 204


def test_the_mail_says_nothing_that_the_registrant_wrote(make_account, mailbox):
    account = make_account(name="Win at http://evil.example")
    assert "evil" not in "".join(mailbox(account.email))
