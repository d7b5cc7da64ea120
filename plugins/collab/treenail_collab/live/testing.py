"""For tests: a journal in memory, and a member that speaks the wire protocol with a real Doc."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, Self

from pycrdt import Doc, TransactionEvent

from treenail_collab.live.frames import BINARY, CLOSE, decode_close, unmask
from treenail_collab.live.hub import DocumentKey, Entry, Hub, Peer
from treenail_collab.live.protocol import (
    AwarenessEntry,
    Kind,
    decode,
    decode_awareness,
    encode_awareness,
    encode_step1,
    encode_step2,
    encode_update,
)


class MemoryJournal:
    """Keeps what is appended; ``before_append`` may wait or raise."""

    def __init__(self) -> None:
        self.rows: dict[DocumentKey, list[bytes]] = {}
        self.entries: list[Entry] = []
        self.appends = 0
        self.released_documents: list[DocumentKey] = []
        self.before_append: Callable[[Sequence[Entry]], None] = lambda entries: None

    def load(self, document: DocumentKey) -> list[bytes]:
        """The rows so far."""
        return list(self.rows.get(document, []))

    def read(self, document: DocumentKey) -> list[bytes]:
        """The same."""
        return self.load(document)

    def append(self, entries: Sequence[Entry]) -> None:
        """Store all, unless ``before_append`` raises."""
        self.before_append(entries)
        self.appends += 1
        self.entries.extend(entries)
        for entry in entries:
            self.rows.setdefault(entry.document, []).append(entry.data)

    def released(self, document: DocumentKey) -> None:
        """Note it."""
        self.released_documents.append(document)

    def forget(self, document: DocumentKey) -> None:
        """Nothing is kept."""


def mask_frame(payload: bytes, opcode: int = BINARY, *, final: bool = True) -> bytes:
    """A client's frame."""
    size = len(payload)
    first = opcode | (0x80 if final else 0)
    if size < 126:
        head = bytes((first, 0x80 | size))
    elif size < 0x10000:
        head = bytes((first, 0x80 | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, 0x80 | 127)) + size.to_bytes(8, "big")
    mask = os.urandom(4)
    return head + mask + unmask(payload, mask)


class Member:
    """A blocking client: local edits are sent, ``until`` reads on until something is so."""

    def __init__(self, sock: socket.socket, seconds: float = 5.0) -> None:
        self.sock = sock
        self.sock.settimeout(seconds)
        self.doc: Doc[Any] = Doc()
        self.states: dict[int, AwarenessEntry] = {}
        self.messages: list[tuple[Kind, bytes]] = []
        self.closed = (0, "")
        self.synced = False
        self.bytes_read = 0
        self._buffer = b""
        self._applying = False
        self._subscription = self.doc.observe(self._observe)

    def _observe(self, event: TransactionEvent) -> None:
        if not self._applying:
            self.say(encode_update(bytes(event.update)))

    def say(self, message: bytes) -> None:
        """Send one message."""
        self.sock.sendall(mask_frame(message))

    def sync(self) -> Self:
        """Ask for the document and wait for it."""
        self.say(encode_step1(self.doc.get_state()))
        self.until(lambda: self.synced)
        return self

    def appear(self, client: int, clock: int, state: object) -> None:
        """Send an awareness state."""
        self.say(encode_awareness([AwarenessEntry(client, clock, json.dumps(state))]))

    def until(self, condition: Callable[[], bool]) -> None:
        """Read until ``condition`` holds. Raises TimeoutError, EOFError."""
        deadline = time.monotonic() + (self.sock.gettimeout() or 5.0)
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError
            self._read()

    def until_closed(self) -> tuple[int, str]:
        """Read up to the close frame; returns its code and reason."""
        self.until(lambda: self.closed[0] != 0)
        return self.closed

    def quiet(self, seconds: float = 0.15) -> bool:
        """Whether nothing at all arrives for a while."""
        before, timeout = len(self.messages), self.sock.gettimeout()
        self.sock.settimeout(seconds)
        try:
            self._read()
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(timeout)
        return len(self.messages) == before

    def close(self) -> None:
        """Let go of the socket."""
        if self.sock.fileno() >= 0:
            self.doc.unobserve(self._subscription)
            self.sock.close()

    def _read(self) -> None:
        data = self.sock.recv(2**20)
        if not data:
            raise EOFError("closed without a close frame")
        self.bytes_read += len(data)
        self._buffer += data
        while (frame := self._take_frame()) is not None:
            opcode, payload = frame
            if opcode == BINARY:
                self._hear(*decode(payload))
            elif opcode == CLOSE:
                self.closed = decode_close(payload)

    def _take_frame(self) -> tuple[int, bytes] | None:
        data = self._buffer
        if len(data) < 2:
            return None
        size, start = data[1], 2
        if size > 125:
            start = 4 if size == 126 else 10
            size = int.from_bytes(data[2:start], "big")
        if len(data) < start + size or len(data) < start:
            return None
        self._buffer = data[start + size :]
        return data[0] & 0x0F, data[start : start + size]

    def _hear(self, kind: Kind, content: bytes) -> None:
        self.messages.append((kind, content))
        if kind is Kind.STEP1:
            self.say(encode_step2(self.doc.get_update(content)))
        elif kind in (Kind.STEP2, Kind.UPDATE):
            self._applying = True
            self.doc.apply_update(content)
            self._applying = False
            self.synced = self.synced or kind is Kind.STEP2
        elif kind is Kind.AWARENESS:
            self.states.update({entry.client: entry for entry in decode_awareness(content)})


def join(hub: Hub, peer: Peer, **options: Any) -> Member:
    """A member of ``peer.document`` over a socket pair."""
    near, far = socket.socketpair()
    hub.adopt(far.detach(), peer)
    return Member(near, **options)
