"""RFC 6455 framing: a client's bytes to messages, and back."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from treenail_collab.live.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    TEXT,
    FrameError,
    Message,
    Parser,
    accept_key,
    decode_close,
    encode,
    encode_close,
)
from treenail_collab.live.testing import mask_frame

payloads = st.one_of(st.binary(max_size=200), st.integers(125, 70_000).map(bytes))
messages = st.lists(st.tuples(st.sampled_from((BINARY, TEXT)), payloads), max_size=5)


@given(messages, st.lists(st.integers(0, 400_000), max_size=8))
def test_any_split_gives_the_same_messages(
    messages: list[tuple[int, bytes]], cuts: list[int]
) -> None:
    stream = b"".join(mask_frame(payload, opcode) for opcode, payload in messages)
    ends = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    parser = Parser(2**20)
    got = [m for a, b in pairwise(ends) for m in parser.feed(stream[a:b])]
    assert got == messages
    assert parser.failure is None


@given(st.binary(max_size=300), st.integers(1, 20))
def test_garbage_fails_the_same_way_however_it_is_split(garbage: bytes, step: int) -> None:
    whole, pieces = Parser(1000), Parser(1000)
    expected = whole.feed(garbage)
    got = [m for i in range(0, len(garbage), step) for m in pieces.feed(garbage[i : i + step])]
    assert got == expected
    assert (pieces.failure and pieces.failure.code) == (whole.failure and whole.failure.code)


def test_fragments_are_joined_and_control_frames_may_come_between() -> None:
    stream = (
        mask_frame(b"ab", BINARY, final=False)
        + mask_frame(b"!", PING)
        + mask_frame(b"cd", CONTINUATION, final=False)
        + mask_frame(b"", CONTINUATION)
        + mask_frame(b"next")
    )
    expected = [Message(PING, b"!"), Message(BINARY, b"abcd"), Message(BINARY, b"next")]
    parser = Parser(100)
    assert [m for byte in stream for m in parser.feed(bytes((byte,)))] == expected


BROKEN = {
    "reserved bit": (b"\xc2\x80mask", 1002),
    "reserved opcode": (b"\x83\x80mask", 1002),
    "not masked": (encode(b"x"), 1002),
    "fragmented ping": (mask_frame(b"", PING, final=False), 1002),
    "long ping": (mask_frame(b"x" * 126, PING), 1002),
    "continuation of nothing": (mask_frame(b"", CONTINUATION), 1002),
    "interrupted fragments": (mask_frame(b"", final=False) + mask_frame(b""), 1002),
    "length not minimal": (b"\x82\xfe\x00\x05mask", 1002),
    "length with the sign bit": (b"\x82\xff" + b"\xff" * 8 + b"mask", 1002),
    "too long": (b"\x82\xfe\x03\xe9", 1009),
    "too long in pieces": (mask_frame(b"x" * 600, final=False) + b"\x00\xfe\x02\x58", 1009),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_framing_has_its_close_code(name: str) -> None:
    stream, code = BROKEN[name]
    parser = Parser(1000)
    assert parser.feed(mask_frame(b"before") + stream) == [Message(BINARY, b"before")]
    assert parser.failure is not None
    assert parser.failure.code == code
    assert parser.feed(mask_frame(b"after")) == []


def test_a_message_announced_too_long_is_refused_before_it_is_buffered() -> None:
    parser = Parser(1000)
    parser.feed(b"\x82\xff" + (10**8).to_bytes(8, "big"))
    assert parser.failure is not None


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_encoded_frames_have_the_shortest_length(size: int) -> None:
    header = {0: 2, 125: 2, 126: 4, 65_535: 4, 65_536: 10}[size]
    assert len(encode(bytes(size))) == header + size


def test_close_frames_keep_whole_characters_of_a_long_reason() -> None:
    frame = encode_close(1007, "é" * 100)
    assert len(frame) == 2 + 2 + 122
    assert decode_close(frame[2:]) == (1007, "é" * 61)


@pytest.mark.parametrize("payload", [b"\x03", b"\x03\xed", b"\x00\x00", b"\x03\xe8\xff"])
def test_a_bad_close_payload_is_an_error(payload: bytes) -> None:
    with pytest.raises(FrameError):
        decode_close(payload)


def test_an_empty_close_payload_has_no_code() -> None:
    assert decode_close(b"") == (1005, "")
    assert encode_close(1000)[0] == 0x80 | CLOSE


def test_the_accept_key_is_the_one_of_the_standard() -> None:
    assert accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
