"""A room by itself: what a round applies, stores and sends."""

from __future__ import annotations

import gc
import socket
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from pycrdt import Doc, Text
from treenail_collab.live.connection import Connection
from treenail_collab.live.frames import encode
from treenail_collab.live.hub import DocumentKey, Entry, Limits, Peer
from treenail_collab.live.protocol import encode_update, merge
from treenail_collab.live.room import Room, load_doc

DOCUMENT = DocumentKey("acme", "plan")


@pytest.fixture
def members() -> Iterator[list[Connection]]:
    pairs = [socket.socketpair() for _ in range(2)]
    peers = [Peer(DOCUMENT, name, name.title(), None, False) for name in ("ada", "bob")]
    connections = [
        Connection(number, far.detach(), peer, Limits(queue_bytes=1000))
        for number, ((_, far), peer) in enumerate(zip(pairs, peers, strict=True))
    ]
    yield connections
    for (near, _), connection in zip(pairs, connections, strict=True):
        near.close()
        connection.sock.close()


def typed(*words: str, client_id: int = 1) -> list[bytes]:
    """One update a word, typed one after the other."""
    doc, updates = Doc[Any](client_id=client_id), list[bytes]()
    text = doc.get("t", type=Text)
    subscription = doc.observe(lambda event: updates.append(bytes(event.update)))
    for word in words:
        text.insert(len(text), word)
    doc.unobserve(subscription)
    return updates


def content(*rows: bytes) -> str:
    return str(load_doc(list(rows)).get("t", type=Text))


def test_a_round_is_one_entry_and_one_frame(members: list[Connection]) -> None:
    room = Room(DOCUMENT, [], Limits())
    room.inbox = [(members[0], typed("a", "b")), (members[1], typed("c", client_id=2))]
    entry = room.stage()
    assert entry is not None
    assert entry.user_ids == ("ada", "bob")
    assert len(content(entry.data)) == 3
    done = room.settle()
    assert done is not None
    assert done.only_sender is None
    assert done.frames == encode(encode_update(room.doc.get_update()))


def test_the_only_sender_of_a_round_is_known(members: list[Connection]) -> None:
    room = Room(DOCUMENT, [], Limits())
    room.inbox = [(members[0], typed("a")), (members[0], typed("b", client_id=2))]
    room.stage()
    done = room.settle()
    assert done is not None
    assert done.only_sender is members[0]


def test_what_is_pending_is_stored_though_nothing_is_sent(members: list[Connection]) -> None:
    room = Room(DOCUMENT, [], Limits())
    first, second = typed("a", "b")
    room.inbox = [(members[0], [second])]
    assert room.stage() == Entry(DOCUMENT, second, ("ada",))
    done = room.settle()
    assert done is not None
    assert done.frames == b""
    assert Room(DOCUMENT, [second, first], Limits()).state == load_doc([first, second]).get_state()


def test_known_content_is_no_work(members: list[Connection]) -> None:
    room = Room(DOCUMENT, typed("a"), Limits())
    room.inbox = [(members[0], typed("a"))]
    assert room.stage() is None
    assert not room.has_work()
    assert not room.dirty


def test_a_bad_update_rejects_its_sender_and_keeps_the_rest(members: list[Connection]) -> None:
    room = Room(DOCUMENT, [], Limits())
    room.inbox = [(members[0], [b"\x01\x01"]), (members[1], typed("a")), (members[0], typed("b"))]
    entry = room.stage()
    assert entry is not None
    assert content(entry.data) == "a"
    assert entry.user_ids == ("bob",)
    assert room.rejected == [(members[0], 1007, "bad update")]


def test_a_batch_that_only_together_is_too_much_takes_more_rounds(
    members: list[Connection],
) -> None:
    room = Room(DOCUMENT, [], Limits(document_bytes=1000))
    room.inbox = [(members[0], typed("a" * 600)), (members[1], typed("b" * 600, client_id=2))]
    room.stage()
    assert room.rejected == []
    assert room.has_work() is False
    room.settle()
    assert room.has_work()
    assert room.stage() is None
    assert room.rejected == [(members[1], 1009, "document too big")]


def test_the_loop_skips_a_room_that_is_being_read(members: list[Connection]) -> None:
    room = Room(DOCUMENT, [], Limits())
    room.inbox = [(members[0], typed("a"))]
    inside, leave = threading.Event(), threading.Event()

    def read() -> None:
        with room.claim():
            inside.set()
            leave.wait(5)

    reader = threading.Thread(target=read)
    reader.start()
    inside.wait(5)
    assert room.stage() is None
    assert room.loop_waits
    leave.set()
    reader.join()
    assert room.stage() is not None


def test_a_reader_that_waits_for_a_failed_commit_is_told(members: list[Connection]) -> None:
    room = Room(DOCUMENT, [], Limits())
    room.inbox = [(members[0], typed("a"))]
    room.stage()
    room.die()
    with pytest.raises(RuntimeError), room.claim():
        pass


def test_what_a_reader_changes_against_the_rules_is_stored_before_it_is_seen(
    members: list[Connection],
) -> None:
    room = Room(DOCUMENT, [], Limits())
    with room.claim():
        room.doc.get("t", type=Text).insert(0, "x")
    room.inbox = [(members[0], typed("a"))]
    entry = room.stage()
    assert entry is not None
    assert sorted(content(entry.data)) == ["a", "x"]


def test_the_mark_of_a_slow_reader_is_before_all_that_was_dropped(
    members: list[Connection],
) -> None:
    slow = members[0]
    while not slow.queue:
        slow.send(b"x" * 10_000)
    slow.offer_update(b"y" * 2000, b"before")
    slow.offer_update(b"z", b"after")
    assert slow.lag == b"before"
    assert slow.queued < 20_000


def test_opening_a_document_again_gives_the_same(members: list[Connection]) -> None:
    updates = typed(*"typed in many small steps")
    live = Room(DOCUMENT, [], Limits())
    rows = []
    for start in range(0, len(updates), 7):
        live.inbox = [(members[0], updates[start : start + 7])]
        entry = live.stage()
        assert entry is not None
        rows.append(entry.data)
        live.settle()
    assert Room(DOCUMENT, rows, Limits()).doc.get_update() == live.doc.get_update()
    assert content(merge(rows)) == "typed in many small steps"


def test_a_room_that_is_let_go_is_freed_and_so_is_a_doc_that_was_replaced() -> None:
    room = Room(DOCUMENT, typed("a"), Limits())
    docs = [weakref.ref(room.doc)]
    room.load(typed("b"))
    docs.append(weakref.ref(room.doc))
    gone = weakref.ref(room)
    room.unload()
    del room
    gc.collect()
    assert gone() is None
    assert [doc() for doc in docs] == [None, None]
