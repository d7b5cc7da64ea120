"""Refresh tokens: each good for one, the last one good again for ten seconds."""

import base64
import threading
from datetime import timedelta

import pytest
import time_machine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from treenail import epochs
from treenail.clock import utcnow
from treenail.db import system_session
from treenail_auth.models import SessionRow

FUZZ = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None
)


def after(**time):
    return time_machine.travel(utcnow() + timedelta(**time))


def epoch(app, user_id):
    with app.app_context(), system_session("test", read_only=True) as session:
        return epochs.read(session, [user_id]).get(user_id, 0)


def test_a_refresh_answers_a_new_pair(ann):
    session = ann.session()
    answer = session.refresh()
    assert answer.status == 200
    assert answer.json.keys() == {"accessToken", "refreshToken", "tokenType", "expiresIn"}
    assert answer.json["refreshToken"] != session.refresh_token
    session.access = answer.json["accessToken"]
    assert session.is_alive
    assert session.refresh(answer.json["refreshToken"]).status == 200


def test_within_the_grace_the_same_successor_comes(ann):
    session = ann.session()
    first = session.refresh().json["refreshToken"]
    with after(seconds=9):
        assert session.refresh().json["refreshToken"] == first
        assert session.refresh(first).status == 200


def test_twenty_at_once_get_one_successor(app, ann, captured_events):
    session, answers = ann.session(), []
    barrier = threading.Barrier(20)

    def refresh():
        barrier.wait()
        answers.append(session.refresh())

    threads = [threading.Thread(target=refresh) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status for answer in answers] == [200] * 20
    assert len({answer.json["refreshToken"] for answer in answers}) == 1
    assert captured_events("session.ended") == []
    with app.app_context(), system_session("test", read_only=True) as found:
        row = found.query(SessionRow).filter_by(user_id=session.user["id"]).one()
        assert row.counter == 1


def test_after_the_grace_a_used_token_ends_the_session(app, ann, captured_events):
    session = ann.session()
    before = epoch(app, session.user["id"])
    successor = session.refresh().json
    with after(seconds=11):
        answer = session.refresh()
        assert (answer.status, answer.code) == (401, "token_reused")
        assert session.refresh(successor["refreshToken"]).status == 401
        session.access = successor["accessToken"]
        assert not session.is_alive
    [event] = captured_events("session.ended")
    assert event.data["userId"] == session.user["id"]
    assert event.data["reason"] == "token_reused"
    assert epoch(app, session.user["id"]) == before + 1


def test_a_stolen_older_token_ends_the_session_also_within_the_grace(ann, captured_events):
    session = ann.session()
    stolen = session.refresh_token
    newest = session.refresh(session.refresh().json["refreshToken"]).json["refreshToken"]
    assert session.refresh(stolen).code == "token_reused"
    assert session.refresh(newest).status == 401
    assert session.refresh(stolen).status == 401
    assert len(captured_events("session.ended")) == 1


def test_reuse_ends_only_its_own_session(ann):
    robbed, other = ann.session(), ann.session()
    robbed.refresh(robbed.refresh().json["refreshToken"])
    assert robbed.refresh().code == "token_reused"
    assert other.is_alive
    assert other.refresh().status == 200


def test_many_reuses_at_once_end_the_session_once(ann, captured_events):
    session = ann.session()
    session.refresh(session.refresh().json["refreshToken"])
    threads = [threading.Thread(target=session.refresh) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(captured_events("session.ended")) == 1


def test_a_session_expires_for_good_after_thirty_days(ann, captured_events):
    session = ann.session()
    token = session.refresh_token
    for time in ({"days": 13}, {"days": 26}, {"days": 29, "hours": 23}):
        with after(**time):
            token = session.refresh(token).json["refreshToken"]
    with after(days=30, seconds=1):
        assert session.refresh(token).code == "unauthenticated"
    assert captured_events("session.ended") == []  # nobody ended it


def test_a_session_that_is_not_renewed_for_two_weeks_expires(ann):
    session = ann.session()
    with after(days=13):
        token = session.refresh().json["refreshToken"]
        pages = session.call("GET", "/me/sessions")
    assert pages.status == 401  # the access token is long over
    with after(days=27, seconds=1):
        assert session.refresh(token).code == "unauthenticated"


def test_every_changed_bit_of_a_token_is_noticed(ann):
    session = ann.session()
    content = base64.urlsafe_b64decode(session.refresh_token)
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 1
        answer = session.refresh(base64.urlsafe_b64encode(bytes(changed)).decode())
        assert (answer.status, answer.code) == (401, "unauthenticated")
    assert session.refresh().status == 200


@FUZZ
@given(st.one_of(st.text(max_size=200), st.binary(max_size=100).map(base64.urlsafe_b64encode)))
def test_garbage_is_refused(client, token):
    text = token if isinstance(token, str) else token.decode()
    answer = client.post("/auth/refresh", {"refreshToken": text.replace("\0", "")})
    assert (answer.status, answer.code) == (401, "unauthenticated")


@pytest.mark.parametrize("token", [None, 7, ["x"], "x" * 201])
def test_what_is_no_token_is_refused(client, token):
    assert client.post("/auth/refresh", {"refreshToken": token}).status == 422


def test_a_token_of_another_deployment_is_refused(elsewhere, ann):
    token = ann.session().refresh_token
    assert elsewhere.post("/auth/refresh", {"refreshToken": token}).status == 401


def test_an_access_token_does_not_refresh(ann):
    session = ann.session()
    assert session.refresh(session.access).status in (401, 422)
    assert session.is_alive
