"""Forgotten passwords."""

import time
from statistics import median

import pytest
from treenail.ids import uuid7
from treenail.testing.callers import make_person

NEW = "a new oak beam"


def forget(client, email):
    return client.post("/auth/password/forgot", {"email": email})


def reset(client, token, password=NEW):
    return client.post("/auth/password/reset", {"token": token, "password": password})


@pytest.fixture
def token(client, ann, mailed_token):
    forget(client, ann.email)
    return mailed_token(ann.email, "reset-password")


def test_a_mailed_token_sets_a_new_password(client, ann, token, mailbox, captured_events):
    assert reset(client, token).status == 204
    assert ann.log_in().status == 401
    ann.password = NEW
    assert ann.session().me["emailVerified"] is True
    assert "was changed" in mailbox(ann.email)[-1]
    assert len(captured_events("user.password_changed")) == 1


def test_a_reset_ends_every_session(client, ann, token, captured_events):
    sessions = [ann.session(), ann.session()]
    reset(client, token)
    assert not any(session.is_alive for session in sessions)
    reasons = [e.data["reason"] for e in captured_events("session.ended")]
    assert reasons == ["password_reset"] * 2


def test_known_and_unknown_answer_alike(client, ann):
    known, unknown = forget(client, ann.email), forget(client, "nobody@example.com")
    odd = forget(client, "not an address")
    assert [a.status for a in (known, unknown, odd)] == [202] * 3
    assert known.response.data == unknown.response.data == odd.response.data


def test_nobody_is_mailed_who_has_no_account(client, mailbox):
    email = f"{uuid7()}@example.com"
    forget(client, email)
    assert mailbox(email) == []


def test_known_and_unknown_do_the_same_work(client, ann, count_queries):
    def statements(email):
        with count_queries() as found:
            forget(client, email)
        return found

    assert statements(ann.email) == statements("nobody@example.com")


def test_known_and_unknown_take_as_long(client, ann):
    def seconds(email):
        began = time.perf_counter()
        forget(client, email)
        return time.perf_counter() - began

    pairs = [(seconds(ann.email), seconds("nobody@example.com")) for _ in range(20)]
    known, unknown = (median(times) for times in zip(*pairs, strict=True))
    assert 0.6 < unknown / known < 1.67


def test_the_email_may_be_spelt_otherwise(client, ann, mailed_token):
    forget(client, ann.email.upper())
    assert mailed_token(ann.email, "reset-password")


def test_a_token_resets_once(client, token):
    assert reset(client, token).status == 204
    assert reset(client, token, "another oak beam").code == "bad_token"


def test_only_the_newest_token_is_good(client, ann, token, mailed_token):
    forget(client, ann.email)
    newest = mailed_token(ann.email, "reset-password")
    assert newest != token
    assert reset(client, token).code == "bad_token"
    assert reset(client, newest).status == 204


def test_a_token_is_good_for_half_an_hour(client, token, after):
    with after(minutes=31):
        assert reset(client, token).code == "bad_token"
    with after(minutes=29):
        assert reset(client, token).status == 204


def test_a_refused_password_leaves_the_token_good(client, token):
    answer = reset(client, token, "password1")
    assert (answer.status, list(answer.json["errors"])) == (422, ["password"])
    assert reset(client, token).status == 204


def test_a_changed_password_makes_the_token_worthless(ann, client, token):
    ann.session().patch(password=NEW, currentPassword=ann.password)
    assert reset(client, token, "another oak beam").code == "bad_token"


def test_a_reset_leaves_the_second_factor_on(client, ann, token):
    ann.session().enrol()
    reset(client, token)
    assert ann.log_in(NEW).json["mfaRequired"] is True


def test_a_person_without_a_password_gets_a_first_one(app, client, mailed_token):
    person = make_person(app)
    forget(client, person.email)
    reset(client, mailed_token(person.email, "reset-password"))
    assert client.post("/auth/login", {"email": person.email, "password": NEW}).status == 200
