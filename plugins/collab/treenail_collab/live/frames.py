"""RFC 6455 framing, the server's side: what a client sends is parsed, what it is sent is encoded.

No extension is negotiated: compression would cost every receiver its own frame, and sharing one
frame between all readers is what makes a broadcast cheap.
"""

from __future__ import annotations

import base64
import hashlib
from typing import NamedTuple

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KNOWN = frozenset((CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG))
# What an endpoint may put into a close frame (RFC 6455, 7.4.1 and 7.4.2).
_CLOSE_CODES = frozenset((1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014))


class FrameError(Exception):
    """The peer broke the framing; ``code`` is the close code it gets (RFC 6455, 7.4.1)."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Message(NamedTuple):
    """A whole data message (fragments joined) or one control frame, unmasked."""

    opcode: int
    payload: bytes


class Header(NamedTuple):
    """One frame's header: where its masking key begins, and how long its payload is (bytes)."""

    final: bool
    opcode: int
    mask_at: int
    length: int


def accept_key(key: str) -> str:
    """The ``Sec-WebSocket-Accept`` value for a ``Sec-WebSocket-Key`` (RFC 6455, 4.2.2)."""
    digest = hashlib.sha1(key.encode("ascii") + _GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode("ascii")


def encode(payload: bytes, opcode: int = BINARY) -> bytes:
    """One final, unmasked frame around ``payload``."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    if size < 0x10000:
        return bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big") + payload
    return bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big") + payload


def encode_close(code: int, reason: str = "") -> bytes:
    """A close frame; the reason is cut to the 123 bytes of UTF-8 that fit."""
    text = reason.encode()[:123].decode(errors="ignore").encode()
    return encode(code.to_bytes(2, "big") + text, CLOSE)


def decode_close(payload: bytes) -> tuple[int, str]:
    """The code and the reason of a close frame's payload; 1005 when it has none.

    Raises FrameError for what RFC 6455, 5.5.1 and 7.4 do not allow.
    """
    if not payload:
        return 1005, ""
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not (code in _CLOSE_CODES or 3000 <= code <= 4999):
        raise FrameError(1002, "invalid close frame")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise FrameError(1007, "close reason is not UTF-8") from None


def unmask(payload: bytes, mask: bytes) -> bytes:
    """``payload`` xor the repeated four-byte ``mask``, as one operation on two big integers."""
    size = len(payload)
    key = (mask * ((size >> 2) + 1))[:size]
    number = int.from_bytes(payload, "little") ^ int.from_bytes(key, "little")
    return number.to_bytes(size, "little")


class Parser:
    """Turns a client's bytes, however they were split on the way, into messages.

    ``failure`` is set once the peer has broken the framing: the messages before that point are
    still returned, and everything after it is discarded.
    """

    def __init__(self, message_bytes: int) -> None:
        """``message_bytes``: a message announced longer than this is refused unread (1009)."""
        self.failure: FrameError | None = None
        self._limit = message_bytes
        self._rest = bytearray()
        self._need = 2
        self._opcode = CONTINUATION
        self._fragments = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """The messages that ``data`` completes, in order."""
        if self.failure is not None:
            return []
        if self._rest:
            self._rest += data
            if len(self._rest) < self._need:
                return []
            data = bytes(self._rest)
            self._rest.clear()
        messages: list[Message] = []
        position = 0
        try:
            position = self._parse(data, messages)
        except FrameError as failure:
            self.failure = failure
            position = len(data)
        self._rest += data[position:]
        return messages

    def _parse(self, data: bytes, messages: list[Message]) -> int:
        """Append the whole frames of ``data`` to ``messages``; returns where the rest begins."""
        position, end = 0, len(data)
        while True:
            header = self._header(data, position, end)
            if header is None:
                return position
            start = header.mask_at + 4
            stop = start + header.length
            if stop > end:
                self._need = stop - position
                return position
            payload = unmask(data[start:stop], data[header.mask_at : start])
            position = stop
            if header.final and header.opcode and not (header.opcode < CLOSE and self._opcode):
                messages.append(Message(header.opcode, payload))
            else:
                self._fragment(header, payload, messages)

    def _header(self, data: bytes, position: int, end: int) -> Header | None:
        """The header at ``position``, or None when it is not all there yet."""
        self._need = 2
        if end - position < 2:
            return None
        first, second = data[position], data[position + 1]
        opcode = first & 0x0F
        if first & 0x70 or opcode not in _KNOWN:
            raise FrameError(1002, "reserved bit or opcode")
        if not second & 0x80:
            raise FrameError(1002, "client frames must be masked")
        length = second & 0x7F
        mask_at = position + 2
        if opcode >= CLOSE and (length > 125 or not first & 0x80):
            raise FrameError(1002, "control frame too long or fragmented")
        if length > 125:
            width = 2 if length == 126 else 8
            self._need = 2 + width
            if end - mask_at < width:
                return None
            length = self._long(int.from_bytes(data[mask_at : mask_at + width], "big"), width)
            mask_at += width
        if opcode < CLOSE and length + len(self._fragments) > self._limit:
            raise FrameError(1009, "message too big")
        return Header(bool(first & 0x80), opcode, mask_at, length)

    @staticmethod
    def _long(length: int, width: int) -> int:
        if length < (126 if width == 2 else 0x10000) or length >> 63:
            raise FrameError(1002, "length is not minimally encoded")
        return length

    def _fragment(self, header: Header, payload: bytes, messages: list[Message]) -> None:
        if bool(header.opcode) == bool(self._opcode):
            raise FrameError(1002, "fragment out of order")
        self._opcode = self._opcode or header.opcode
        self._fragments += payload
        if header.final:
            messages.append(Message(self._opcode, bytes(self._fragments)))
            self._opcode = CONTINUATION
            self._fragments.clear()
