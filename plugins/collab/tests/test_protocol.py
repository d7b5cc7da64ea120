"""lib0 and y-protocols: encode, decode, and nothing but ProtocolError for what is malformed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycrdt import Doc, Text, create_sync_message
from treenail_collab.live.protocol import (
    AwarenessEntry,
    Kind,
    ProtocolError,
    decode,
    decode_awareness,
    encode_awareness,
    encode_denied,
    encode_step1,
    encode_step2,
    encode_update,
    is_integrated,
    merge,
    read_number,
    write_number,
)

numbers = st.integers(0, 2**53 - 1)
entries = st.lists(st.builds(AwarenessEntry, numbers, numbers, st.text(max_size=20)), max_size=5)


@given(numbers)
def test_numbers_survive(number: int) -> None:
    assert read_number(write_number(number), 0) == (number, len(write_number(number)))


@given(st.binary(max_size=300))
def test_messages_survive(payload: bytes) -> None:
    assert decode(encode_step1(payload)) == (Kind.STEP1, payload)
    assert decode(encode_step2(payload)) == (Kind.STEP2, payload)
    assert decode(encode_update(payload)) == (Kind.UPDATE, payload)


@given(entries)
def test_awareness_survives(entries: list[AwarenessEntry]) -> None:
    kind, payload = decode(encode_awareness(entries))
    assert kind is Kind.AWARENESS
    assert decode_awareness(payload) == entries


@given(st.binary(max_size=60))
def test_garbage_raises_nothing_else(garbage: bytes) -> None:
    try:
        kind, payload = decode(garbage)
        if kind is Kind.AWARENESS:
            decode_awareness(payload)
    except ProtocolError:
        pass


@given(entries, st.integers(0, 200))
def test_truncated_awareness_is_refused(entries: list[AwarenessEntry], cut: int) -> None:
    _, payload = decode(encode_awareness(entries))
    if cut < len(payload):
        with pytest.raises(ProtocolError):
            decode_awareness(payload[:cut])


@pytest.mark.parametrize(
    "message",
    [b"", b"\x00", b"\x00\x03\x00", b"\x00\x02\x05ab", b"\x00\x02\x01abc", b"\x80" * 20, b"\x01"],
)
def test_malformed_messages_are_refused(message: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(message)


def test_numbers_beyond_53_bits_are_refused() -> None:
    with pytest.raises(ProtocolError):
        read_number(write_number(2**53), 0)


def test_other_messages_are_recognised() -> None:
    assert decode(b"\x03") == (Kind.QUERY_AWARENESS, b"")
    assert decode(b"\x64\x01")[0] is Kind.UNKNOWN
    assert decode(encode_denied("no"))[0] is Kind.AUTH


def test_a_step_1_is_what_pycrdt_sends() -> None:
    doc = Doc[Any]()
    assert create_sync_message(doc) == encode_step1(doc.get_state())


def edits(count: int) -> tuple[Doc[Any], list[bytes]]:
    """A text typed in single letters, the last one deleting the second."""
    doc, updates = Doc[Any](), list[bytes]()
    text = doc.get("t", type=Text)
    subscription = doc.observe(lambda event: updates.append(bytes(event.update)))
    for _ in range(count - 1):
        text.insert(len(text), "x")
    del text[1:2]
    doc.unobserve(subscription)
    return doc, updates


def test_an_update_is_integrated_once_all_it_says_is_there() -> None:
    whole, (first, second, third, deletion) = edits(4)
    doc = Doc[Any]()
    doc.apply_update(first)
    assert is_integrated(first, doc.get_state())
    assert not is_integrated(second, doc.get_state())
    assert not is_integrated(deletion, doc.get_state())
    assert not is_integrated(merge([first, third]), doc.get_state())
    assert all(is_integrated(u, whole.get_state()) for u in (first, second, third, deletion))


def test_merging_many_updates_says_what_they_say_and_keeps_the_pending_ones() -> None:
    whole, updates = edits(200)
    doc = Doc[Any]()
    doc.apply_update(merge(updates[100:]))
    doc.apply_update(merge(updates[:100]))
    assert doc.get_update() == whole.get_update()
