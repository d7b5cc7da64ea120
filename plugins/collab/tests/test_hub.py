"""The hub with real sockets and real documents."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import treenail_collab.live.testing
from pycrdt import Doc, Map, Text
from treenail_collab.live.frames import PING, encode
from treenail_collab.live.hub import DocumentFullError, DocumentKey, Entry, Hub, Limits, Peer
from treenail_collab.live.protocol import Kind, encode_step1, encode_update, write_number
from treenail_collab.live.room import load_doc
from treenail_collab.live.testing import Member, MemoryJournal, mask_frame

DOCUMENT = DocumentKey("acme", "plan")
ADA = Peer(DOCUMENT, "ada", "Ada", "s1", False)
BOB = Peer(DOCUMENT, "bob", "Bob", "s2", False)
EVE = Peer(DocumentKey("acme", "other"), "eve", "Eve", "s3", False)
MakeHub = Callable[[Limits], Hub]
LIMITS = Limits(stall_seconds=0.4, linger_seconds=0.5, ping_seconds=20.0)


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()


@pytest.fixture
def make_hub(journal: MemoryJournal) -> Iterator[MakeHub]:
    hubs: list[Hub] = []

    def make(limits: Limits) -> Hub:
        hubs.append(Hub(journal, limits))
        return hubs[-1]

    yield make
    while _members:
        _members.pop().close()
    for hub in hubs:
        hub.close()


@pytest.fixture
def hub(make_hub: MakeHub) -> Hub:
    return make_hub(LIMITS)


_members: list[Member] = []


def join(hub: Hub, peer: Peer) -> Member:
    member = treenail_collab.live.testing.join(hub, peer)
    _members.append(member)
    return member


def text(doc: Doc[Any]) -> Text:
    return doc.get("t", type=Text)


def wait(condition: Any) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def stored(journal: MemoryJournal, document: DocumentKey = DOCUMENT) -> str:
    return str(text(load_doc(journal.load(document))))


def test_an_edit_reaches_the_others(hub: Hub) -> None:
    ada, bob = join(hub, ADA).sync(), join(hub, BOB).sync()
    text(ada.doc).insert(0, "hello")
    bob.until(lambda: str(text(bob.doc)) == "hello")
    assert ada.quiet()


def test_an_edit_is_stored_before_it_is_seen(hub: Hub, journal: MemoryJournal) -> None:
    ada, bob = join(hub, ADA).sync(), join(hub, BOB).sync()
    gate = threading.Event()
    journal.before_append = lambda entries: gate.wait(5) and None
    text(ada.doc).insert(0, "hello")
    assert bob.quiet()
    gate.set()
    bob.until(lambda: str(text(bob.doc)) == "hello")


def test_who_joins_during_a_commit_sees_nothing_that_is_not_stored(
    hub: Hub, journal: MemoryJournal
) -> None:
    ada = join(hub, ADA).sync()
    gate = threading.Event()
    journal.before_append = lambda entries: gate.wait(5) and None
    text(ada.doc).insert(0, "hello")
    wait(lambda: hub._loop and hub._loop._rounds)
    bob = join(hub, BOB)
    bob.say(encode_step1(b"\x00"))
    assert bob.quiet()
    gate.set()
    bob.until(lambda: bob.synced)
    assert str(text(bob.doc)) == "hello"


def test_reading_waits_for_the_commit(hub: Hub, journal: MemoryJournal) -> None:
    ada = join(hub, ADA).sync()
    gate = threading.Event()
    journal.before_append = lambda entries: gate.wait(5) and None
    text(ada.doc).insert(0, "hello")
    wait(lambda: hub._loop and hub._loop._rounds)
    seen: list[str] = []
    reader = threading.Thread(
        target=lambda: seen.append(hub.read(DOCUMENT, lambda d: str(text(d))))
    )
    reader.start()
    reader.join(0.1)
    assert seen == []
    gate.set()
    reader.join()
    assert seen == ["hello"]


def test_what_arrives_during_a_commit_is_one_commit_for_all_rooms(
    hub: Hub, journal: MemoryJournal
) -> None:
    ada, eve = join(hub, ADA).sync(), join(hub, EVE).sync()
    gate = threading.Event()
    journal.before_append = lambda entries: gate.wait(5) and None
    text(ada.doc).insert(0, "a")
    wait(lambda: hub._loop and hub._loop._rounds)
    for _ in range(20):
        text(ada.doc).insert(0, "b")
        text(eve.doc).insert(0, "e")
    time.sleep(0.05)
    gate.set()
    wait(lambda: journal.appends == 2)
    assert [entry.document for entry in journal.entries] == [DOCUMENT, DOCUMENT, EVE.document]
    assert stored(journal) == "b" * 20 + "a"


def test_a_failed_commit_closes_its_rooms_only(hub: Hub, journal: MemoryJournal) -> None:
    ada, bob, eve = (join(hub, peer).sync() for peer in (ADA, BOB, EVE))

    def fail(entries: Sequence[Entry]) -> None:
        raise OSError("disk full")

    journal.before_append = fail
    text(ada.doc).insert(0, "lost?")
    assert bob.until_closed()[0] == ada.until_closed()[0] == 1011
    assert str(text(bob.doc)) == ""
    journal.before_append = lambda entries: None
    again = join(hub, ADA)
    again.doc.apply_update(ada.doc.get_update())
    again.sync()
    wait(lambda: stored(journal) == "lost?")
    text(eve.doc).insert(0, "fine")
    wait(lambda: stored(journal, EVE.document) == "fine")


def chunk(data: bytes) -> bytes:
    return write_number(len(data)) + data


HOSTILE = {
    "garbage": (b"\xff" * 40, 1002),
    "unmasked": (encode(b"\x00"), 1002),
    "announces 100 MB": (b"\x82\xff" + (10**8).to_bytes(8, "big") + b"mask", 1009),
    "text": (mask_frame(b"hello", 1), 1003),
    "empty message": (mask_frame(b""), 1007),
    "truncated sync": (mask_frame(b"\x00\x02\x7f\x01"), 1007),
    "garbage update": (mask_frame(encode_update(b"\xff" * 30)), 1007),
    "update with a huge count": (mask_frame(encode_update(b"\xff\xff\xff\xff\x0f\x01")), 1007),
    "bad state vector": (mask_frame(encode_step1(b"\xff\xff\xff\xff\x0f")), 1007),
    "truncated state vector": (mask_frame(encode_step1(b"\x05\x01")), 1007),
    "empty state vector": (mask_frame(encode_step1(b"")), 1007),
    "awareness with a huge count": (mask_frame(b"\x01\x05\xff\xff\xff\xff\x0f"), 1007),
    "awareness that is not JSON": (mask_frame(b"\x01\x09\x01\x07\x01\x05{oops"), 1007),
    "awareness too deep": (
        mask_frame(b"\x01" + chunk(b"\x01\x07\x01" + chunk(b"[" * 50000))),
        1007,
    ),
    "awareness too long": (mask_frame(b"\x01\xa0\x8d\x06" + b"x" * 100000), 1009),
    "invalid close code": (mask_frame((1005).to_bytes(2, "big"), 8), 1002),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_client_is_closed_and_the_others_notice_nothing(hub: Hub, name: str) -> None:
    ada, bob = join(hub, ADA).sync(), join(hub, BOB).sync()
    mallory = join(hub, replace(BOB, user_id="mallory"))
    data, code = HOSTILE[name]
    mallory.sock.sendall(data)
    assert mallory.until_closed()[0] == code
    text(ada.doc).insert(0, "fine")
    bob.until(lambda: str(text(bob.doc)) == "fine")
    assert [peer.user_id for _, peer in hub.connections()] == ["ada", "bob"]


def test_a_bad_update_closes_its_sender_and_spares_the_rest_of_the_batch(
    hub: Hub, journal: MemoryJournal
) -> None:
    ada, bob = join(hub, ADA).sync(), join(hub, BOB).sync()
    gate = threading.Event()
    journal.before_append = lambda entries: gate.wait(5) and None
    text(ada.doc).insert(0, "a")
    wait(lambda: hub._loop and hub._loop._rounds)
    text(ada.doc).insert(1, "b")
    bob.say(encode_update(b"\x01\x01\x01"))
    time.sleep(0.05)
    gate.set()
    assert bob.until_closed()[0] == 1007
    wait(lambda: stored(journal) == "ab")


def test_a_viewer_reads_and_writes_nothing(hub: Hub, journal: MemoryJournal) -> None:
    ada = join(hub, ADA).sync()
    viewer = join(hub, replace(BOB, read_only=True)).sync()
    text(viewer.doc).insert(0, "no")
    viewer.until(lambda: any(kind is Kind.AUTH for kind, _ in viewer.messages))
    offline = Doc[Any]()
    text(offline).insert(0, "neither")
    late = join(hub, replace(BOB, read_only=True))
    late.doc.apply_update(offline.get_update())
    late.sync()
    text(ada.doc).insert(0, "yes")
    late.until(lambda: "yes" in str(text(late.doc)))
    assert stored(journal) == "yes"


def test_rights_can_be_taken_away_and_given_back(hub: Hub, journal: MemoryJournal) -> None:
    ada = join(hub, ADA).sync()
    ((number, _),) = hub.connections()
    hub.set_read_only(number, True)
    text(ada.doc).insert(0, "x")
    ada.until(lambda: any(kind is Kind.AUTH for kind, _ in ada.messages))
    assert hub.connections()[0][1].read_only
    assert journal.entries == []
    hub.set_read_only(number, False)
    ada.say(encode_update(ada.doc.get_update()))
    wait(lambda: stored(journal) == "x")


def test_a_member_can_be_cut_off(hub: Hub) -> None:
    ada = join(hub, ADA).sync()
    hub.disconnect(hub.connections()[0][0], 4403, "revoked")
    assert ada.until_closed() == (4403, "revoked")
    assert hub.connections() == []


def test_a_slow_reader_gets_one_diff_and_slows_nobody(
    make_hub: MakeHub, journal: MemoryJournal
) -> None:
    hub = make_hub(replace(LIMITS, queue_bytes=50_000, stall_seconds=20))
    ada, bob, slow = join(hub, ADA).sync(), join(hub, BOB).sync(), join(hub, BOB).sync()
    slow.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    for _ in range(300):
        text(ada.doc)[:] = os.urandom(5000).hex()
        bob.until(lambda: str(text(bob.doc)) == str(text(ada.doc)))
    slow.until(lambda: str(text(slow.doc)) == str(text(ada.doc)))
    assert bob.bytes_read > 3_000_000 > 2 * slow.bytes_read
    text(ada.doc)[:] = "end"
    slow.until(lambda: str(text(slow.doc)) == "end")


def test_a_reader_that_never_reads_is_closed(hub: Hub, journal: MemoryJournal) -> None:
    ada = join(hub, ADA).sync()
    stuck = join(hub, BOB)
    stuck.say(encode_step1(b"\x00"))
    text(ada.doc).insert(0, "x" * 2_000_000)
    wait(lambda: [peer.user_id for _, peer in hub.connections()] == ["ada"])
    text(ada.doc).insert(0, "on")
    wait(lambda: stored(journal).startswith("on"))


def test_asking_without_reading_costs_one_answer(hub: Hub) -> None:
    hub.edit(DOCUMENT, lambda doc: text(doc).insert(0, "x" * 3_000_000), "ada")
    greedy = join(hub, BOB)
    for _ in range(200):
        greedy.say(encode_step1(b"\x00"))
    assert hub._loop is not None
    (connection,) = hub._loop.connections.values()
    wait(lambda: connection.queued)
    assert connection.queued < 4_000_000


def test_a_pending_update_is_stored_and_resolved_for_everybody(
    hub: Hub, journal: MemoryJournal
) -> None:
    source = Doc[Any]()
    updates: list[bytes] = []
    subscription = source.observe(lambda event: updates.append(bytes(event.update)))
    text(source).insert(0, "a")
    text(source).insert(1, "b")
    source.unobserve(subscription)
    ada, bob = join(hub, ADA).sync(), join(hub, BOB).sync()
    ada.say(encode_update(updates[1]))
    wait(lambda: journal.rows.get(DOCUMENT) == [updates[1]])
    bob.say(encode_update(updates[0]))
    ada.until(lambda: str(text(ada.doc)) == "ab")
    # Bob was the only sender of his batch, but what he resolved was not his.
    bob.until(lambda: str(text(bob.doc)) == "ab")
    assert stored(journal) == "ab"


def test_pending_updates_are_all_taken_up_when_what_they_wait_for_comes(
    hub: Hub, journal: MemoryJournal
) -> None:
    source, updates = Doc[Any](), list[bytes]()
    letters, keys = text(source), source.get("m", type=Map)
    subscription = source.observe(lambda event: updates.append(bytes(event.update)))
    letters.insert(0, "a")
    letters.insert(1, "b")
    keys["x"] = 1
    source.unobserve(subscription)
    ada, bob = join(hub, ADA).sync(), join(hub, BOB).sync()
    for number in (1, 2, 0):
        ada.say(encode_update(updates[number]))
        wait(lambda number=number: updates[number] in journal.load(DOCUMENT))
    bob.until(lambda: str(text(bob.doc)) == "ab")
    assert stored(journal) == "ab"


def test_resending_what_is_known_stores_nothing(hub: Hub, journal: MemoryJournal) -> None:
    ada = join(hub, ADA).sync()
    text(ada.doc).insert(0, "a")
    wait(lambda: journal.appends == 1)
    ada.say(encode_update(ada.doc.get_update()))
    text(ada.doc).insert(0, "b")
    wait(lambda: stored(journal) == "ba")
    assert journal.appends == 2


def test_an_edit_of_the_server_is_stored_and_seen(hub: Hub, journal: MemoryJournal) -> None:
    ada = join(hub, ADA).sync()
    hub.edit(DOCUMENT, lambda doc: text(doc).insert(0, "by the server"), "system")
    assert journal.entries[-1].user_ids == ("system",)
    ada.until(lambda: str(text(ada.doc)) == "by the server")


def test_an_edit_works_on_a_document_nobody_has_open(hub: Hub, journal: MemoryJournal) -> None:
    hub.edit(DOCUMENT, lambda doc: text(doc).insert(0, "x"), "system")
    assert hub.read(DOCUMENT, lambda doc: str(text(doc))) == "x"
    wait(lambda: journal.released_documents == [DOCUMENT])


def test_an_editor_that_raises_leaves_no_trace(hub: Hub, journal: MemoryJournal) -> None:
    ada = join(hub, ADA).sync()
    text(ada.doc).insert(0, "kept")
    wait(lambda: journal.appends == 1)

    def editor(doc: Doc[Any]) -> None:
        text(doc).insert(0, "half")
        raise KeyError

    with pytest.raises(KeyError):
        hub.edit(DOCUMENT, editor, "system")
    assert hub.read(DOCUMENT, lambda doc: str(text(doc))) == "kept"
    text(ada.doc).insert(4, "!")
    wait(lambda: stored(journal) == "kept!")


def test_an_edit_that_cannot_be_stored_raises(hub: Hub, journal: MemoryJournal) -> None:
    def fail(entries: Sequence[Entry]) -> None:
        raise OSError("disk full")

    journal.before_append = fail
    with pytest.raises(RuntimeError):
        hub.edit(DOCUMENT, lambda doc: text(doc).insert(0, "x"), "system")
    assert hub.read(DOCUMENT, lambda doc: str(text(doc))) == ""


def test_readers_editors_and_writers_take_turns(hub: Hub, journal: MemoryJournal) -> None:
    ada, bob = join(hub, ADA).sync(), join(hub, BOB).sync()
    done = threading.Event()

    def keep_reading() -> None:
        while not done.is_set():
            hub.read(DOCUMENT, lambda doc: str(text(doc)))

    def keep_editing() -> None:
        for _ in range(50):
            hub.edit(DOCUMENT, lambda doc: text(doc).insert(0, "s"), "system")

    threads = [threading.Thread(target=keep_reading) for _ in range(3)]
    threads += [threading.Thread(target=keep_editing) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(100):
        text(ada.doc).insert(0, "a")
    bob.until(lambda: sorted(str(text(bob.doc))) == ["a"] * 100 + ["s"] * 100)
    done.set()
    for thread in threads:
        thread.join()
    assert sorted(stored(journal)) == ["a"] * 100 + ["s"] * 100


def test_a_document_beyond_its_limit_refuses_its_sender(
    make_hub: MakeHub, journal: MemoryJournal
) -> None:
    hub = make_hub(replace(LIMITS, document_bytes=10_000))
    ada, bob = join(hub, ADA).sync(), join(hub, BOB).sync()
    text(ada.doc).insert(0, "x" * 9_000)
    bob.until(lambda: len(str(text(bob.doc))) == 9_000)
    text(bob.doc).insert(0, "y" * 2_000)
    assert bob.until_closed()[0] == 1009
    with pytest.raises(DocumentFullError):
        hub.edit(DOCUMENT, lambda doc: text(doc).insert(0, "z" * 2_000), "system")
    del text(ada.doc)[0:8_000]
    text(ada.doc).insert(0, "w" * 2_000)
    wait(lambda: stored(journal) == "w" * 2_000 + "x" * 1_000)
    assert b"yyyy" not in b"".join(journal.load(DOCUMENT))


def test_values_written_over_and_over_do_not_count(
    make_hub: MakeHub, journal: MemoryJournal
) -> None:
    hub = make_hub(replace(LIMITS, document_bytes=10_000))
    ada = join(hub, ADA).sync()
    for number in range(50):
        text(ada.doc)[:] = str(number) * 500
    wait(lambda: stored(journal) == "49" * 500)


def test_a_document_nobody_has_open_is_let_go(hub: Hub, journal: MemoryJournal) -> None:
    ada = join(hub, ADA).sync()
    text(ada.doc).insert(0, "x")
    ada.close()
    wait(lambda: journal.released_documents == [DOCUMENT])
    assert hub._rooms == {}
    assert stored(journal) == "x"


def test_many_who_join_at_once_load_the_document_once(hub: Hub, journal: MemoryJournal) -> None:
    hub.edit(DOCUMENT, lambda doc: text(doc).insert(0, "x"), "system")
    wait(lambda: not hub._rooms)
    loads: list[DocumentKey] = []
    load = journal.load
    journal.load = lambda document: (loads.append(document), time.sleep(0.05), load(document))[2]  # type: ignore[method-assign]
    members: list[Member] = []
    threads = [threading.Thread(target=lambda: members.append(join(hub, ADA))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(str(text(member.sync().doc)) == "x" for member in members)
    assert len(loads) == 1


def test_a_document_that_cannot_be_loaded_closes_the_socket(
    hub: Hub, journal: MemoryJournal
) -> None:
    journal.rows[DOCUMENT] = [b"\xff\xff"]
    near, far = socket.socketpair()
    with pytest.raises(ValueError, match="update"):
        hub.adopt(far.detach(), ADA)
    with near:
        assert near.recv(1) == b""
    assert hub._rooms == {}


def test_presence_is_echoed_identified_and_taken_away(hub: Hub) -> None:
    ada, bob = join(hub, ADA).sync(), join(hub, BOB).sync()
    ada.appear(7, 0, {"user": {"name": "Bob", "color": "#f00"}})
    for member in (ada, bob):
        member.until(lambda member=member: 7 in member.states)  # type: ignore[misc]
    assert bob.states[7].state == '{"user":{"name":"Ada","color":"#f00","id":"ada"}}'
    late = join(hub, BOB).sync()
    late.until(lambda: 7 in late.states)
    ada.close()
    bob.until(lambda: bob.states[7].state == "null")
    assert bob.states[7].clock == 1


def test_a_ping_is_answered(hub: Hub) -> None:
    ada = join(hub, ADA).sync()
    ada.sock.sendall(mask_frame(b"hi", PING))
    assert ada.sock.recv(100) == b"\x8a\x02hi"


def test_a_peer_that_has_gone_silent_is_pinged_and_dropped(
    make_hub: MakeHub, journal: MemoryJournal
) -> None:
    hub = make_hub(replace(LIMITS, ping_seconds=0.1))
    ada = join(hub, ADA).sync()
    assert ada.sock.recv(100) == b"\x89\x00"
    wait(lambda: hub.connections() == [])


def test_closing_the_hub_says_goodbye_and_loses_nothing(hub: Hub, journal: MemoryJournal) -> None:
    ada = join(hub, ADA).sync()
    for _ in range(50):
        text(ada.doc).insert(0, "x")
    wait(lambda: journal.appends)
    hub.close(1012)
    assert ada.until_closed()[0] == 1012
    near, far = socket.socketpair()
    with near, pytest.raises(RuntimeError):
        hub.adopt(far.detach(), ADA)


def test_an_idle_hub_uses_no_cpu(hub: Hub) -> None:
    members = [join(hub, ADA).sync() for _ in range(20)]
    time.sleep(0.1)
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.02
    assert len(members) == 20


def test_a_bug_met_by_one_connection_ends_only_that_one(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, bob = join(hub, ADA).sync(), join(hub, BOB).sync()

    def fail(*args: object) -> None:
        raise MemoryError

    monkeypatch.setattr("treenail_collab.live.awareness.Awareness.apply", fail)
    ada.appear(7, 0, {})
    assert ada.until_closed()[0] == 1011
    hub.edit(DOCUMENT, lambda doc: text(doc).insert(0, "x"), "system")
    bob.until(lambda: str(text(bob.doc)) == "x")
