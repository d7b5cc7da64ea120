"""Compaction keeps what a document says, and what it does not yet understand."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycrdt import Doc, Map, Text
from treenail_collab.live.compaction import compact
from treenail_collab.live.protocol import clocks, merge, read_number
from treenail_collab.live.room import load_doc


def history(seed: int, steps: int) -> list[bytes]:
    """The updates of three people who type, delete, set keys and now and then catch up."""
    chance = random.Random(seed)
    docs = [Doc[Any](client_id=client) for client in (1, 200, 30_000_000)]
    updates: list[bytes] = []
    for _ in range(steps):
        doc = chance.choice(docs)
        before = doc.get_state()
        text, keys = doc.get("t", type=Text), doc.get("m", type=Map)
        action = chance.random()
        if action < 0.5:
            text.insert(chance.randint(0, len(text)), chance.choice("abc"))
        elif action < 0.7 and len(text):
            at = chance.randrange(len(text))
            del text[at : at + 1]
        elif action < 0.9:
            keys[chance.choice("xyz")] = chance.random()
        else:
            doc.apply_update(chance.choice(docs).get_update())
            continue
        updates.append(doc.get_update(before))
    return updates


def content(*updates: bytes) -> tuple[str, dict[str, Any], dict[bytes, bytes]]:
    doc = load_doc(list(updates))
    return (
        str(doc.get("t", type=Text)),
        doc.get("m", type=Map).to_py() or {},
        clocks(doc.get_state()),
    )


def number(clocks: dict[bytes, bytes], client: bytes) -> int:
    return read_number(clocks.get(client, b"\x00"), 0)[0]


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.data())
def test_content_and_what_is_pending_are_kept(seed: int, steps: int, data: st.DataObject) -> None:
    updates = history(seed, steps)
    arrived = data.draw(st.permutations(range(len(updates))))
    late = set(arrived[: data.draw(st.integers(0, len(updates) // 2))])
    rows = [(i, updates[i]) for i in arrived if i not in late]
    cut = data.draw(st.integers(0, len(rows)))
    first = compact(None, rows[:cut])
    kept = [row for row in rows[:cut] if row[0] not in first.integrated]
    second = compact(first.snapshot, kept + rows[cut:])
    left = [u for i, u in kept + rows[cut:] if i not in second.integrated]
    # pycrdt may integrate more from a snapshot than from rows with gaps, but never less.
    before, after = content(*(u for _, u in rows))[2], content(second.snapshot, *left)[2]
    assert all(number(after, client) >= number(before, client) for client in before)
    missing = [updates[i] for i in late]
    assert content(second.snapshot, *left, *missing) == content(*updates)
    if not late:
        assert left == []


def test_rows_that_wait_for_something_stay() -> None:
    first = history(1, 30)[0]
    text = Doc[Any]()
    rows: list[bytes] = []
    subscription = text.observe(lambda event: rows.append(bytes(event.update)))
    for letter in "abc":
        text.get("t", type=Text).insert(0, letter)
    text.unobserve(subscription)
    compacted = compact(None, [(1, rows[0]), (2, rows[2]), (3, first)])
    assert compacted.integrated == [1, 3]
    assert compact(compacted.snapshot, [(2, rows[2]), (4, rows[1])]).integrated == [2, 4]


def test_a_row_that_waits_in_part_stays() -> None:
    doc = Doc[Any]()
    rows: list[bytes] = []
    subscription = doc.observe(lambda event: rows.append(bytes(event.update)))
    for letter in "abc":
        doc.get("t", type=Text).insert(0, letter)
    doc.unobserve(subscription)
    assert compact(None, [(1, merge([rows[0], rows[2]]))]).integrated == []


def test_an_unreadable_row_stays() -> None:
    good = history(1, 5)[0]
    assert compact(None, [(1, b"\xff\xff"), (2, good)]).integrated == [2]


def test_an_unreadable_snapshot_is_an_error() -> None:
    with pytest.raises(ValueError, match="update"):
        compact(b"\xff\xff", [])


def test_nothing_compacts_to_an_empty_document() -> None:
    assert compact(None, []) == (b"\x00\x00", [])
