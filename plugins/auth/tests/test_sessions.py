"""Sessions: seen, ended, resumed, forgotten."""

from datetime import timedelta

import pytest
import time_machine
from sqlalchemy import func, select
from treenail import epochs
from treenail.clock import utcnow
from treenail.db import system_session
from treenail.errors import Unauthenticated
from treenail.ids import uuid7
from treenail.models import Activation, User
from treenail_auth import tasks
from treenail_auth.models import SessionRow

NOBODY = "01890a5d-ac96-774b-bcce-b302099a8057"


def ids_of(session):
    return [item["id"] for item in session.call("GET", "/me/sessions").json["items"]]


def current_id(session):
    items = session.call("GET", "/me/sessions").json["items"]
    return next(item["id"] for item in items if item["current"])


def resume(app, session_id):
    with app.app_context():
        return app.extensions["treenail"].registry.hooks.hook.resume_session(session_id=session_id)


def test_logout_kills_both_tokens_at_once(app, ann, captured_events):
    session = ann.session()
    user_id = session.user["id"]
    assert session.call("POST", "/auth/logout").status == 204
    assert not session.is_alive
    assert session.refresh().status == 401
    assert session.call("POST", "/auth/logout").status == 401
    [event] = captured_events("session.ended")
    assert (event.data["reason"], event.actor_id) == ("logged_out", user_id)
    with app.app_context(), system_session("test", read_only=True) as found:
        assert epochs.read(found, [user_id]) == {user_id: 1}


def test_logout_leaves_other_sessions(ann):
    here, there = ann.session(), ann.session()
    here.call("POST", "/auth/logout")
    assert there.is_alive


def test_one_sees_ones_own_live_sessions(ann, bob):
    bob.session()
    here, there, gone = ann.session(), ann.session(), ann.session()
    gone.call("POST", "/auth/logout")
    items = here.call("GET", "/me/sessions").json["items"]
    assert [item["current"] for item in items] == [False, True]
    assert items[1]["ip"] == "127.0.0.1"
    assert items[1].keys() == {
        *("id", "current", "createdAt", "lastUsedAt", "expiresAt", "ip", "userAgent")
    }
    assert current_id(there) == items[0]["id"]


def test_the_list_comes_in_pages(ann):
    sessions = [ann.session() for _ in range(3)]
    first = sessions[0].call("GET", "/me/sessions?limit=2").json
    rest = sessions[0].call("GET", f"/me/sessions?cursor={first['nextCursor']}").json
    assert [len(first["items"]), len(rest["items"]), rest["nextCursor"]] == [2, 1, None]


def test_the_device_is_kept_within_bounds(ann):
    answer = ann.log_in(headers={"User-Agent": "Moth/1.0\0 " + "x" * 5000})
    token = answer.json["accessToken"]
    headers = {"Authorization": f"Bearer {token}"}
    [item] = ann.client.get("/me/sessions", headers=headers).json["items"]
    assert item["userAgent"].startswith("Moth/1.0 ")
    assert len(item["userAgent"]) == 300


def test_one_ends_a_session_of_ones_own(ann, captured_events):
    here, there = ann.session(), ann.session()
    assert here.call("DELETE", f"/me/sessions/{current_id(there)}").status == 204
    assert not there.is_alive
    assert there.refresh().status == 401
    assert here.is_alive
    assert [e.data["reason"] for e in captured_events("session.ended")] == ["revoked"]


def test_a_foreign_ended_or_unknown_session_is_not_found(ann, bob):
    here, foreign, gone = ann.session(), bob.session(), ann.session()
    gone_id = current_id(gone)
    gone.call("POST", "/auth/logout")
    for session_id in (current_id(foreign), gone_id, uuid7(), "not-an-id"):
        assert here.call("DELETE", f"/me/sessions/{session_id}").status == 404
    assert foreign.is_alive


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/auth/logout"), ("GET", "/me/sessions"), ("DELETE", f"/me/sessions/{NOBODY}")],
)
def test_nobody_has_no_sessions(client, method, path):
    assert client.call(method, path).status == 401


def test_a_session_is_resumed_while_it_lives(app, ann):
    session = ann.session()
    session_id = current_id(session)
    identity = resume(app, session_id)
    assert (identity.user_id, identity.session_id) == (session.user["id"], session_id)
    assert identity.methods == ("pwd",)
    assert abs(utcnow() - identity.authenticated_at) < timedelta(minutes=1)
    with time_machine.travel(utcnow() + timedelta(days=31)), pytest.raises(Unauthenticated):
        resume(app, session_id)
    session.call("POST", "/auth/logout")
    with pytest.raises(Unauthenticated):
        resume(app, session_id)


def test_a_strange_session_is_left_to_others(app):
    assert resume(app, uuid7()) is None
    assert resume(app, "saml:42") is None


def test_a_removed_person_is_out_at_once(app, ann):
    session = ann.session()
    with app.app_context(), system_session("test") as found:
        found.delete(found.get_one(User, session.user["id"]))
    assert not session.is_alive
    assert session.refresh().status == 401
    assert ann.log_in().code == "invalid_credentials"


def test_sessions_long_over_are_forgotten(app, ann, monkeypatch):
    monkeypatch.setattr(tasks, "BATCH", 2)
    live, *ended = (ann.session() for _ in range(5))
    tenant_id = ended[0].call("POST", "/tenants", {"name": "Ash"}).json["id"]
    ended[0].call("POST", f"/tenants/{tenant_id}/activate", {})
    for session in ended:
        session.call("POST", "/auth/logout")
    user_id = live.user["id"]

    def left(days):
        moment = utcnow() + timedelta(days=days)
        with app.app_context(), time_machine.travel(moment):
            tasks.purge_sessions()
        with app.app_context(), system_session("test", read_only=True) as found:
            sessions = select(func.count(SessionRow.id)).where(SessionRow.user_id == user_id)
            places = select(func.count()).where(Activation.tenant_id == tenant_id)
            return found.scalar(sessions), found.scalar(places)

    assert left(29) == (5, 1)
    assert left(31) == (1, 0)
    assert left(43) == (1, 0)
    assert left(45) == (0, 0)


def test_the_purge_is_a_periodic_task(app):
    task = app.extensions["treenail"].periodic_tasks["auth.purge_sessions"]
    assert (task.seconds, task.run) == (86_400, tasks.purge_sessions)
