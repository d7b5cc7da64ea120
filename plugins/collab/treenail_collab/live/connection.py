"""One member's socket: what it says, and the bounded queue of what it has yet to be told."""

from __future__ import annotations

import socket
import time
from collections import deque
from itertools import islice

from treenail_collab.live.frames import Message, Parser, encode_close
from treenail_collab.live.interfaces import Limits, Peer

# Views given to one sendmsg: far below IOV_MAX, and enough to empty a queue of small frames.
_VIEWS = 64


class Connection:
    """A non-blocking socket that never makes its sender wait and never grows without bound.

    Document frames beyond the queue's limit are dropped and ``lag`` remembers the state vector
    before the first of them; when the queue has drained, one diff from there makes up for all.
    Used by the loop's thread alone, but for ``peer``, which any thread may replace.
    """

    __slots__ = (
        "armed",
        "asked",
        "closed_at",
        "fd",
        "greeted",
        "heard_at",
        "id",
        "lag",
        "limits",
        "muted",
        "parser",
        "peer",
        "pinged",
        "progress_at",
        "queue",
        "queued",
        "refused",
        "sock",
    )

    def __init__(self, number: int, fd: int, peer: Peer, limits: Limits) -> None:
        """Takes over ``fd``, a connected socket on which the handshake is done."""
        self.id = number
        self.fd = fd
        self.peer = peer
        self.limits = limits
        self.sock = socket.socket(fileno=fd)
        self.sock.setblocking(False)
        self.parser = Parser(limits.message_bytes)
        self.queue: deque[memoryview] = deque()
        self.queued = 0
        self.armed = False
        self.lag: bytes | None = None
        self.muted = False
        self.asked: bytes | None = None
        self.greeted = False
        self.refused = False
        self.pinged = False
        self.closed_at: float | None = None
        self.heard_at = self.progress_at = time.monotonic()

    def receive(self, buffer: memoryview) -> list[Message] | None:
        """One read's messages; None at the end of the stream. Raises OSError."""
        try:
            size = self.sock.recv_into(buffer)
        except BlockingIOError:
            return []
        if not size:
            return None
        self.heard_at = time.monotonic()
        self.pinged = False
        return self.parser.feed(bytes(buffer[:size]))

    def send(self, data: bytes) -> None:
        """Queue frames that must arrive, and send what the socket takes. Raises OSError."""
        if self.queue:
            self._enqueue(memoryview(data))
            return
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self.progress_at = time.monotonic()
            self._enqueue(memoryview(data)[sent:])

    def _enqueue(self, view: memoryview) -> None:
        self.queue.append(view)
        self.queued += len(view)

    def _is_full(self, size: int) -> bool:
        return bool(self.queue) and self.queued + size > self.limits.queue_bytes

    def offer_update(self, frames: bytes, before: bytes) -> None:
        """Send all of a round's document frames or, to a slow reader, none of them.

        ``before`` is the state vector that holds without them. One decision for the whole round:
        with a second one the mark could lie behind a frame that was dropped.
        """
        if self.lag is not None:
            return
        if self._is_full(len(frames)):
            self.lag = before
        else:
            self.send(frames)

    def offer_awareness(self, frame: bytes) -> None:
        """Send awareness states; a slow reader gets everybody's present states later."""
        if self.muted or self._is_full(len(frame)):
            self.muted = True
        else:
            self.send(frame)

    def offer(self, frame: bytes) -> None:
        """Send what may be lost: a pong, a ping."""
        if not self._is_full(len(frame)):
            self.send(frame)

    def drain(self) -> bool:
        """Send on from the queue; True when it is empty. Raises OSError."""
        while self.queue:
            views = list(islice(self.queue, _VIEWS))
            try:
                sent = self.sock.sendmsg(views)
            except BlockingIOError:
                return False
            self.progress_at = time.monotonic()
            self._forget(sent)
            if sent < sum(map(len, views)):
                return False
        return True

    def _forget(self, sent: int) -> None:
        self.queued -= sent
        while sent:
            view = self.queue.popleft()
            if len(view) > sent:
                self.queue.appendleft(view[sent:])
                return
            sent -= len(view)

    def say_goodbye(self, code: int, reason: str) -> None:
        """Queue a close frame behind what is on the wire already. Raises OSError.

        What a frame has begun must be finished or the close frame could not be read, so one frame
        may precede it; the rest of the queue is dropped.
        """
        self.closed_at = time.monotonic()
        begun = self.queue[0] if self.queue else None
        self.queue.clear()
        self.queued = 0
        if begun is not None:
            self._enqueue(begun)
        self.send(encode_close(code, reason))
        self.finish()

    def finish(self) -> None:
        """Half-close once the close frame is out, so that the peer sees the end. Raises OSError."""
        if self.drain():
            self.sock.shutdown(socket.SHUT_WR)

    def is_stalled(self, now: float) -> bool:
        """Whether its queue has made no progress for too long."""
        return bool(self.queue) and now - self.progress_at > self.limits.stall_seconds

    def is_silent(self, now: float, seconds: float) -> bool:
        """Whether nothing at all was heard for ``seconds``."""
        return now - self.heard_at > seconds
