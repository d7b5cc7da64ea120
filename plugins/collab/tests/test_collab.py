"""Live documents through the whole application: tokens, sockets, rights, content."""

from __future__ import annotations

import json
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from flask import Blueprint, Flask
from pycrdt import Doc, Map, XmlElement, XmlFragment, XmlText
from sqlalchemy import func, select
from treenail import epochs
from treenail.crypto import sign
from treenail.db import db, system_session, tenant_session
from treenail.errors import Unauthenticated
from treenail.ids import uuid7
from treenail.plugin import Plugin, hookimpl
from treenail.principal import Identity
from treenail.testing import Caller
from treenail_collab import admission, sentinel
from treenail_collab.journal import SNAPSHOTS, UPDATES
from treenail_collab.live.testing import Member
from treenail_collab.service import EXTENSION, Live
from treenail_workspaces.models import Document

MakeBoard = Callable[..., Any]
Eventually = Callable[..., None]


class Lapsing(Plugin):
    """Sessions that can be ended, or whose looking up can fail."""

    name = "lapsing"
    version = "1.0"
    ended: set[str] = set()
    failing: set[str] = set()

    @hookimpl
    def blueprints(self) -> Sequence[Blueprint]:
        """None."""
        return []

    @hookimpl(tryfirst=True)
    def resume_session(self, session_id: str) -> Identity | None:
        """Raise for a session that has ended; leave the others to whoever made them."""
        if session_id in self.ended:
            raise Unauthenticated()
        if session_id in self.failing:
            raise RuntimeError("the store of sessions is out of order")
        return None


@pytest.fixture(scope="module")
def environ() -> dict[str, str]:
    """And the plugin of this module."""
    return {"TREENAIL_PLUGINS": "rbac,workspaces,collab,lapsing"}


@pytest.fixture(scope="module")
def plugins() -> dict[str, type[Plugin]]:
    return {"lapsing": Lapsing}


@pytest.fixture
def live(app: Flask) -> Live:
    return app.extensions[EXTENSION]


def objects(doc: Doc[Any]) -> Map[Any]:
    return doc.get("objects", type=Map)


def put(member: Member, key: str, value: Any) -> None:
    objects(member.doc)[key] = value


def has(member: Member, key: str) -> bool:
    return key in (objects(member.doc).to_py() or {})


def length(member: Member) -> Any:
    return (objects(member.doc).to_py() or {}).get("beam", {}).get("length")


def code_within_a_second(member: Member) -> int:
    began = time.monotonic()
    code, _ = member.until_closed()
    assert time.monotonic() - began < 1
    return code


# Tokens


def test_whoever_may_read_gets_a_token(board, sockets):
    for person in (board.tenant.owner, board.person("editor"), board.person("viewer")):
        answer = person.post(f"/documents/{board.id}/collab-token", {})
        assert (answer.status, answer.json["expiresIn"]) == (200, 600)
        assert answer.json["url"].startswith("ws://")
        assert answer.json["url"].endswith("/api/v1/collab")


def test_others_get_none(board, other_tenant, client):
    path = f"/documents/{board.id}/collab-token"
    assert board.tenant.member().post(path, {}).status == 404
    assert other_tenant.owner.post(path, {}).status == 404
    assert client.post(path, {}).status == 401


# At the door


@pytest.mark.parametrize("room", ["00000000", "..", "\0", "ÄÖ", "0" * 4000, "' OR 1=1 --"])
def test_a_room_that_is_no_id_is_refused(board, room):
    token = board.token(board.tenant.owner)
    assert board.open(room=urllib.request.quote(room), token=token).until_closed()[0] == 4403


def test_a_token_that_names_no_id_is_refused(app, board):
    owner = board.tenant.owner
    claims = {"user": owner.user_id, "session": f"test:{owner.user_id}", "tenant": owner.tenant_id}
    secret = app.extensions["treenail"].settings.secret_key
    for room in ("plan", board.id.upper(), uuid7()):
        token = sign(secret, "collab", claims | {"document": room})
        assert board.open(room=room, token=token).until_closed()[0] == 4403


def test_a_token_is_for_its_document_and_tenant(app, make_board, board, other_tenant):
    other, foreign = make_board(), make_board(other_tenant)
    assert board.open(token=other.token(board.tenant.owner)).until_closed()[0] == 4403
    assert board.open(token=foreign.token(other_tenant.owner)).until_closed()[0] == 4403
    assert board.open(token="no.such.token").until_closed()[0] == 4401


def test_a_document_of_the_other_mode_is_not_for_sockets(make_board, live):
    board = make_board(mode="server")
    assert board.open().until_closed()[0] == 4403
    assert board.key not in live.hub._rooms


def test_a_plain_request_to_the_sockets_address_is_a_problem(board, client, sockets):
    answer = client.get(f"/collab/{board.id}")
    assert (answer.status, answer.headers["Content-Type"]) == (400, "application/problem+json")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http{sockets[2:]}/{board.id}")
    with refused.value as error:
        assert (error.code, json.load(error)["status"]) == (400, 400)


# Together


def test_two_people_converge(board, eventually):
    ann, bob = board.open().sync(), board.open(board.person("editor")).sync()
    for number in range(20):
        put(ann, f"a{number}", {"x": number})
        put(bob, f"b{number}", {"y": number})
    ann.until(lambda: has(ann, "b19"))
    bob.until(lambda: has(bob, "a19"))
    assert objects(ann.doc).to_py() == objects(bob.doc).to_py()
    assert len(board.content()["objects"]) == 40


def test_content_is_answered_as_it_is_now(board):
    ann, bob = board.open().sync(), board.open().sync()
    for number in range(5):
        put(ann, "beam", {"length": number, "labels": ["a", None, True], "w": 1.5})
        bob.until(lambda n=number: length(bob) == n)
        found = board.content()
        assert found["objects"] == {
            "beam": {"length": number, "labels": ["a", None, True], "w": 1.5}
        }
        assert found["version"] == number + 1


def test_xml_is_escaped_and_its_attributes_are_in_order(board):
    ann, bob = board.open().sync(), board.open().sync()
    with ann.doc.transaction():
        diagram = ann.doc.get("diagram-xml", type=XmlFragment)
        cell = diagram.children.append(XmlElement("mxCell"))
        for name, value in (("value", 'a<b & "c"'), ("id", "7"), ("Parent", "1")):
            cell.attributes[name] = value
        cell.children.append(XmlText("1 < 2 & 3 > 2"))
    bob.until(lambda: len(bob.doc.get("diagram-xml", type=XmlFragment).children) == 1)
    assert board.content()["xml"] == (
        '<mxCell Parent="1" id="7" value="a&lt;b &amp; &quot;c&quot;">'
        "1 &lt; 2 &amp; 3 &gt; 2</mxCell>"
    )


def test_content_of_a_document_nobody_has_open_costs_no_room(board, live, eventually):
    ann = board.open().sync()
    put(ann, "beam", 1)
    eventually(lambda: board.content()["version"] == 1)
    ann.close()
    eventually(lambda: board.key not in live.hub._rooms)
    for _ in range(5):
        assert board.content()["objects"] == {"beam": 1}
        assert board.key not in live.hub._rooms
        assert board.key not in live.journal._last


def test_content_says_the_same_before_and_after_the_document_is_put_away(board, live, eventually):
    ann = board.open().sync()
    put(ann, "beam", 1)
    eventually(lambda: board.content()["version"] == 1)
    before = board.content()
    ann.close()
    eventually(lambda: count(board, UPDATES) == 0)
    assert board.content() == before


# Rights


def test_what_a_viewer_writes_is_dropped(board):
    ann, eve = board.open().sync(), board.open(board.person("viewer")).sync()
    put(eve, "mine", 1)
    put(ann, "ours", 1)
    eve.until(lambda: has(eve, "ours"))
    assert not has(ann, "mine")
    assert board.content()["objects"] == {"ours": 1}


def test_an_editor_made_viewer_is_silenced_within_a_second(board, live, eventually):
    bob = board.person("editor")
    ann, member = board.open().sync(), board.open(bob).sync()
    put(member, "before", 1)
    ann.until(lambda: has(ann, "before"))
    board.share(bob, "viewer")
    eventually(lambda: is_read_only(live, bob), 1)
    put(member, "after", 1)
    put(ann, "last", 1)
    member.until(lambda: has(member, "last"))
    assert sorted(board.content()["objects"]) == ["before", "last"]


def test_a_viewer_made_editor_writes_within_a_second(board, live, eventually):
    bob = board.person("viewer")
    ann, member = board.open().sync(), board.open(bob).sync()
    board.share(bob, "editor")
    eventually(lambda: not is_read_only(live, bob), 1)
    put(member, "beam", 1)
    ann.until(lambda: has(ann, "beam"))


def is_read_only(live: Live, person: Caller) -> bool:
    (found,) = [p for _, p in live.hub.connections() if p.user_id == person.user_id]
    return found.read_only


def _revoke_grant(board: Any, bob: Caller) -> None:
    path = f"/documents/{board.id}/grants/{bob.user_id}"
    assert board.tenant.owner.delete(path).status == 204


def _remove_membership(board: Any, bob: Caller) -> None:
    path = f"/tenants/{board.tenant.id}/members/{bob.user_id}"
    assert board.tenant.owner.delete(path).status == 204


def _delete_workspace(board: Any, bob: Caller) -> None:
    assert board.tenant.owner.delete(f"/workspaces/{board.workspace}").status == 204


def _delete_document(board: Any, bob: Caller) -> None:
    assert board.tenant.owner.delete(f"/documents/{board.id}").status == 204


REVOCATIONS = [_revoke_grant, _remove_membership, _delete_workspace, _delete_document]


@pytest.mark.parametrize("revoke", REVOCATIONS, ids=lambda f: f.__name__.strip("_"))
def test_who_loses_the_right_loses_the_socket_within_a_second(board, revoke, eventually):
    bob = board.person("editor")
    ann, member = board.open().sync(), board.open(bob).sync()
    time.sleep(0.5)  # the sentinel knows both by now
    revoke(board, bob)
    assert code_within_a_second(member) == 4403
    assert board.open(bob, token=ticket(board, bob)).until_closed()[0] == 4403
    if revoke in REVOCATIONS[:2]:
        put(ann, "beam", 1)
        eventually(lambda: board.content()["objects"] == {"beam": 1})


def ticket(board: Any, bob: Caller) -> str:
    """A token as they might still have one."""
    claims = {"user": bob.user_id, "session": f"test:{bob.user_id}", "tenant": board.tenant.id}
    secret = board.tenant.app.extensions["treenail"].settings.secret_key
    return sign(secret, "collab", claims | {"document": board.id})


def test_a_role_taken_on_the_workspace_acts_on_its_documents(board, eventually, live):
    bob = board.tenant.member()
    path = f"/workspaces/{board.workspace}/members/{bob.user_id}"
    board.tenant.owner.put(path, {"role": "editor"})
    member = board.open(bob).sync()
    board.tenant.owner.put(path, {"role": "viewer"})
    eventually(lambda: is_read_only(live, bob), 1)
    board.tenant.owner.delete(path)
    assert code_within_a_second(member) == 4403


def test_a_change_of_a_role_of_the_tenants_own_acts_within_a_second(board, eventually, live):
    owner, held = board.tenant.owner, ["document:read", "document:update"]
    role = owner.post("/roles", {"name": "Reviser", "permissions": held}).json["id"]
    bob = board.tenant.member("Reviser")
    member = board.open(bob).sync()
    owner.patch(f"/roles/{role}", {"permissions": held[:1]})
    eventually(lambda: is_read_only(live, bob), 1)
    owner.patch(f"/roles/{role}", {"permissions": []})
    assert code_within_a_second(member) == 4403


@pytest.fixture
def end_session(app: Flask) -> Callable[[Caller], None]:
    def end(person: Caller) -> None:
        Lapsing.ended.add(f"test:{person.user_id}")
        with app.app_context(), system_session("test") as session:
            epochs.touch(session, person.user_id)

    return end


def test_a_session_that_ends_ends_its_sockets_within_a_second(board, end_session):
    bob = board.person("editor")
    token = board.token(bob)
    ann, member = board.open().sync(), board.open(token=token).sync()
    time.sleep(0.5)
    end_session(bob)
    assert code_within_a_second(member) == 4401
    assert board.open(token=token).until_closed()[0] == 4401
    assert ann.closed == (0, "")


def test_a_session_that_runs_out_is_noticed_without_anybody_saying_so(board, monkeypatch):
    bob = board.person("editor")
    member = board.open(bob).sync()
    time.sleep(0.5)
    Lapsing.ended.add(f"test:{bob.user_id}")
    assert member.quiet(0.6)
    monkeypatch.setattr(sentinel, "ALWAYS_AFTER", 0.1)
    assert code_within_a_second(member) == 4401


def test_where_nobody_can_say_the_socket_is_closed_and_the_others_still_watched(board):
    bob, eve = board.person("editor"), board.person("editor")
    first, second = board.open(bob).sync(), board.open(eve).sync()
    time.sleep(0.5)
    Lapsing.failing.add(f"test:{bob.user_id}")
    board.share(bob, "viewer")
    _revoke_grant(board, eve)
    assert code_within_a_second(second) == 4403
    assert first.until_closed()[0] == 1011


@pytest.mark.parametrize("known", [False, True], ids=["a stranger", "known already"])
def test_a_right_lost_between_admission_and_adoption_is_noticed(
    board, make_board, monkeypatch, known
):
    bob, other = board.person("editor"), make_board()
    token = board.token(bob)
    other.share(bob, "editor")
    watched = [other.open(bob).sync() for _ in range(known)]
    time.sleep(0.5 * known)
    admit = admission.admit

    def slowly(*arguments: str) -> Any:
        found = admit(*arguments)
        if arguments[-1] == board.id:
            monkeypatch.undo()
            _revoke_grant(board, bob)
            time.sleep(0.9)  # the sentinel sees the new epoch before it ever sees this socket
        return found

    monkeypatch.setattr(admission, "admit", slowly)
    assert code_within_a_second(board.open(token=token)) == 4403
    assert all(member.closed == (0, "") for member in watched)


def test_edits_to_a_deleted_document_do_not_disturb_the_others(
    app, board, make_board, other_tenant, monkeypatch, live, eventually
):
    other = make_board(other_tenant)
    doomed, theirs = board.open().sync(), other.open().sync()
    gate = threading.Event()
    append = live.journal.append
    monkeypatch.setattr(live.journal, "append", lambda entries: (gate.wait(5), append(entries))[1])
    put(theirs, "first", 1)
    time.sleep(0.1)
    _delete_quietly(app, board)
    put(doomed, "lost", 1)
    put(theirs, "second", 1)
    time.sleep(0.1)  # both are in one round now
    gate.set()
    assert doomed.until_closed()[0] in (1011, 4403)
    eventually(lambda: sorted(other.content()["objects"]) == ["first", "second"], 2)
    assert theirs.quiet(0.3)
    assert theirs.closed == (0, "")


def _delete_quietly(app: Flask, board: Any) -> None:
    """Without the epoch's moving, so that the sentinel does not come first."""
    with app.app_context(), tenant_session(board.tenant.id) as session:
        session.delete(session.get_one(Document, board.id))


# Putting documents away


def count(board: Any, table: Any) -> int:
    with board.tenant.app.app_context(), system_session("test", read_only=True) as session:
        found = select(func.count()).select_from(table)
        return int(session.scalar(found.where(table.c.document_id == board.id)) or 0)


def test_an_idle_document_is_put_away_and_opens_whole(board, live, eventually):
    ann = board.open().sync()
    for number in range(30):
        put(ann, f"beam {number}", number)
        ann.quiet(0.001)
    eventually(lambda: len(board.content()["objects"]) == 30)
    assert count(board, UPDATES) > 0
    ann.close()
    eventually(lambda: (count(board, UPDATES), count(board, SNAPSHOTS)) == (0, 1))
    assert board.key not in live.hub._rooms
    again = board.open().sync()
    assert len(objects(again.doc).to_py()) == 30


def test_opening_right_after_closing_keeps_the_history_in_order(board, eventually):
    versions = []
    for number in range(25):
        member = board.open().sync()
        assert len(objects(member.doc).to_py() or {}) == number
        put(member, f"beam {number}", number)
        eventually(lambda n=number: len(board.content()["objects"]) == n + 1)
        versions.append(board.content()["version"])
        member.close()
    assert versions == list(range(1, 26))


def test_rounds_of_opening_and_closing_leave_nothing_behind(app, board, live, eventually):
    def round_trip() -> None:
        board.open().sync()
        put(board.members[-1], "beam", 1)
        board.close()
        eventually(lambda: board.key not in live.hub._rooms)

    for _ in range(5):
        round_trip()
    with app.app_context():
        pool = db.engine.pool
    before = threading.active_count(), len(os.listdir("/proc/self/fd")), pool.checkedout()
    for _ in range(50):
        round_trip()
    eventually(lambda: threading.active_count() <= before[0])
    eventually(lambda: pool.checkedout() <= max(before[2], 1))
    assert len(os.listdir("/proc/self/fd")) <= before[1] + 10
    eventually(lambda: not live.journal._last and not live.hub.connections())
    eventually(lambda: not live.sentinel._known)
