"""The y-protocols messages that y-websocket puts on the wire, and lib0's encoding below them.

Every malformed input raises ProtocolError and nothing else. The layout is that of
``y-protocols/sync.js``, ``awareness.js`` and ``auth.js``; numbers are lib0's unsigned varints.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

from pycrdt import get_update, merge_updates

EMPTY_UPDATE = b"\x00\x00"
EMPTY_STATE = b"\x00"
# lib0 numbers end at 2**53 - 1: eight bytes of seven bits.
_MAX_NUMBER = 2**53 - 1


class ProtocolError(Exception):
    """The peer sent something that is not a message of the protocol."""


class Kind(Enum):
    """What a message is; its payload is a state vector, an update, awareness entries or text."""

    STEP1 = "step1"
    STEP2 = "step2"
    UPDATE = "update"
    AWARENESS = "awareness"
    AUTH = "auth"
    QUERY_AWARENESS = "query awareness"
    UNKNOWN = "unknown"


class AwarenessEntry(NamedTuple):
    """One client's state: its Yjs client id, its clock, and JSON text (``null``: gone)."""

    client: int
    clock: int
    state: str


_NUMBER = re.compile(rb"[\x80-\xff]*[\x00-\x7f]")
_SYNC = {0: Kind.STEP1, 1: Kind.STEP2, 2: Kind.UPDATE}


def write_number(number: int) -> bytes:
    """``number`` as a lib0 unsigned varint."""
    if number < 0x80:
        return bytes((number,))
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def read_number(data: bytes, position: int) -> tuple[int, int]:
    """The varint at ``position`` and where it ends."""
    number = shift = 0
    try:
        while True:
            byte = data[position]
            number |= (byte & 0x7F) << shift
            position += 1
            if byte < 0x80:
                break
            shift += 7
            if shift > 56:
                raise ProtocolError("number too long")
    except IndexError:
        raise ProtocolError("message ends inside a number") from None
    if number > _MAX_NUMBER:
        raise ProtocolError("number too big")
    return number, position


def read_chunk(data: bytes, position: int) -> tuple[bytes, int]:
    """The length-prefixed bytes at ``position`` and where they end."""
    size, position = read_number(data, position)
    if size > len(data) - position:
        raise ProtocolError("message ends inside a chunk")
    return data[position : position + size], position + size


def _chunk(data: bytes) -> bytes:
    return write_number(len(data)) + data


def encode_step1(state: bytes) -> bytes:
    """Sync step 1: ask for everything beyond the state vector ``state``."""
    return b"\x00\x00" + _chunk(state)


def encode_step2(update: bytes) -> bytes:
    """Sync step 2: the answer to a step 1."""
    return b"\x00\x01" + _chunk(update)


def encode_update(update: bytes) -> bytes:
    """One change, for everybody."""
    return b"\x00\x02" + _chunk(update)


def encode_denied(reason: str) -> bytes:
    """The auth message that says a change was refused."""
    return b"\x02\x00" + _chunk(reason.encode())


def encode_awareness(entries: Iterable[AwarenessEntry]) -> bytes:
    """The given clients' states as one awareness message."""
    body = bytearray()
    count = 0
    for client, clock, state in entries:
        body += write_number(client) + write_number(clock) + _chunk(state.encode())
        count += 1
    return b"\x01" + _chunk(write_number(count) + bytes(body))


def decode(message: bytes) -> tuple[Kind, bytes]:
    """A message's kind and payload; types this server does not know are ``UNKNOWN``."""
    # An update below 128 bytes is nearly all of the traffic.
    if message[:2] == b"\x00\x02" and 2 < len(message) < 0x83 and message[2] == len(message) - 3:
        return Kind.UPDATE, message[3:]
    outer, position = read_number(message, 0)
    if outer == 0:
        inner, position = read_number(message, position)
        if inner not in _SYNC:
            raise ProtocolError("unknown sync message")
        return _SYNC[inner], _last_chunk(message, position)
    if outer == 1:
        return Kind.AWARENESS, _last_chunk(message, position)
    if outer == 2:
        return Kind.AUTH, message[position:]
    return (Kind.QUERY_AWARENESS if outer == 3 else Kind.UNKNOWN), message[position:]


def _last_chunk(message: bytes, position: int) -> bytes:
    chunk, position = read_chunk(message, position)
    if position != len(message):
        raise ProtocolError("bytes after the message")
    return chunk


def decode_awareness(payload: bytes) -> list[AwarenessEntry]:
    """The entries of an awareness payload; their states are not yet known to be JSON."""
    count, position = read_number(payload, 0)
    entries: list[AwarenessEntry] = []
    for _ in range(count):
        client, position = read_number(payload, position)
        clock, position = read_number(payload, position)
        state, position = read_chunk(payload, position)
        try:
            entries.append(AwarenessEntry(client, clock, state.decode()))
        except UnicodeDecodeError:
            raise ProtocolError("awareness state is not UTF-8") from None
    if position != len(payload):
        raise ProtocolError("bytes after the awareness entries")
    return entries


def is_integrated(update: bytes, state: bytes) -> bool:
    """Whether a document at the state vector ``state`` holds all that ``update`` says.

    A document integrates a client's structs in the order of their clocks and not before what they
    refer to, so its state vector never passes one that still waits. What it lacks is therefore
    exactly the structs that lie beyond the vector, and deletions that name such structs.
    """
    missing = get_update(update, state)
    if missing == EMPTY_UPDATE:
        return True
    if missing[0] != 0:
        return False
    return _deletions_end_within(missing, clocks(state))


def clocks(state: bytes) -> dict[bytes, bytes]:
    """A state vector as {client id: next clock}, both still encoded.

    Split by the regular expression engine: a document may know thousands of clients, of which
    an update's deletions name a few.
    """
    numbers = _NUMBER.findall(state)
    return dict(zip(numbers[1::2], numbers[2::2], strict=True))


def _deletions_end_within(update: bytes, clocks: dict[bytes, bytes]) -> bool:
    """Whether all of the delete set of an ``update`` without structs lies below ``clocks``."""
    clients, position = read_number(update, 1)
    for _ in range(clients):
        client, position = read_number(update, position)
        known, _ = read_number(clocks.get(write_number(client), b"\x00"), 0)
        ranges, position = read_number(update, position)
        for _ in range(ranges):
            start, position = read_number(update, position)
            length, position = read_number(update, position)
            if start + length > known:
                return False
    return True


def merge(updates: list[bytes]) -> bytes:
    """One update that says what the given ones (at least one) say, pending structs included.

    In groups of 32, then groups of groups: ``merge_updates`` takes quadratic time.
    """
    while len(updates) > 1:
        updates = [merge_updates(*updates[i : i + 32]) for i in range(0, len(updates), 32)]
    return updates[0]
