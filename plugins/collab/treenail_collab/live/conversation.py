"""What members say and what each is told by itself; what all are told is the loop's affair."""

from __future__ import annotations

import select
from collections.abc import Callable

from treenail_collab.live.connection import Connection
from treenail_collab.live.frames import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    FrameError,
    Message,
    decode_close,
    encode,
)
from treenail_collab.live.interfaces import Limits
from treenail_collab.live.membership import Membership
from treenail_collab.live.protocol import (
    EMPTY_UPDATE,
    Kind,
    ProtocolError,
    decode,
    encode_awareness,
    encode_denied,
    encode_step1,
)
from treenail_collab.live.room import Room


class Conversation:
    """Reads members' messages into their rooms. Belongs to the loop's thread.

    ``busy`` gathers the rooms that have something for the next round, ``waiting_bytes`` how much
    all their inboxes hold.
    """

    def __init__(self, membership: Membership, limits: Limits) -> None:
        self.busy: dict[Room, None] = {}
        self.waiting_bytes = 0
        self._membership = membership
        self._limits = limits

    def exchange(self, connection: Connection, room: Room, event: int) -> None:
        """Send on and read what the epoll ``event`` allows. Raises what ends the membership."""
        if event & select.EPOLLOUT and connection.drain():
            self.serve(connection, room)
        if event & ~select.EPOLLOUT:
            messages = connection.receive(self._membership.buffer)
            if messages is None:
                self._membership.part(connection, room, None)
                return
            self._hear(connection, room, messages)
            if connection.parser.failure is not None:
                raise connection.parser.failure

    def _hear(self, connection: Connection, room: Room, messages: list[Message]) -> None:
        updates: list[bytes] = []
        try:
            for opcode, payload in messages:
                if opcode == BINARY:
                    kind, content = decode(payload)
                    if kind is Kind.UPDATE or kind is Kind.STEP2:
                        updates.append(content)
                    else:
                        self._heed(connection, room, kind, content)
                    if kind is Kind.UPDATE and connection.peer.read_only:
                        self._refuse(connection)
                elif self._control(connection, room, opcode, payload):
                    return
        finally:
            # What came before a bad message counts.
            if updates and not connection.peer.read_only:
                self._gather(connection, room, updates)

    def _gather(self, connection: Connection, room: Room, updates: list[bytes]) -> None:
        """Put what may change something up for the next round."""
        said = [update for update in updates if update != EMPTY_UPDATE]
        if said and not room.dead:
            size = sum(map(len, said))
            room.inbox.append((connection, said))
            room.waiting += size
            self.waiting_bytes += size
            self.busy[room] = None

    @staticmethod
    def _refuse(connection: Connection) -> None:
        """Tell a viewer once that what they write is not kept."""
        if not connection.refused:
            connection.refused = True
            connection.offer(encode(encode_denied("read-only")))

    def _heed(self, connection: Connection, room: Room, kind: Kind, content: bytes) -> None:
        if kind is Kind.STEP1:
            connection.asked = content
            self.serve(connection, room)
        elif kind is Kind.AWARENESS:
            if len(content) > self._limits.awareness_bytes:
                raise FrameError(1009, "awareness too big")
            room.awareness.apply(connection.id, connection.peer, content)
            self._membership.changed[room] = None
        elif kind is Kind.QUERY_AWARENESS:
            connection.offer_awareness(encode(encode_awareness(room.awareness.states())))

    def _control(self, connection: Connection, room: Room, opcode: int, payload: bytes) -> bool:
        """Heed a control frame; True when the peer has said goodbye."""
        if opcode == PING:
            connection.offer(encode(payload, PONG))
        elif opcode == CLOSE:
            code, _ = decode_close(payload)
            self._membership.part(connection, room, 1000 if code == 1005 else code)
            return True
        elif opcode != PONG:
            raise FrameError(1003, "binary messages only")
        return False

    def serve(self, connection: Connection, room: Room) -> None:
        """Give what is owed: the greeting, the answer to a step 1, the diff after a lag.

        Nothing while the room holds what is not stored, nor to a reader who is behind: both come
        back here, so that one who only asks and never reads costs one answer.
        """
        with room.lock:
            if not room.is_quiet():
                room.held[connection.id] = connection
                return
            self._greet(connection, room)
            if connection.queue:
                return
            if connection.asked is not None:
                asked, connection.asked = connection.asked, None
                connection.send(self._answer(room, asked))
            if connection.lag is not None and not connection.queue:
                lag, connection.lag = connection.lag, None
                connection.send(room.answer(lag))
        if connection.muted and not connection.queue:
            connection.muted = False
            connection.send(encode(encode_awareness(room.awareness.states())))

    def _greet(self, connection: Connection, room: Room) -> None:
        if connection.greeted:
            return
        connection.greeted = True
        present = room.awareness.states()
        states = encode(encode_awareness(present)) if present else b""
        connection.send(encode(encode_step1(room.state)) + states)

    @staticmethod
    def _answer(room: Room, state: bytes) -> bytes:
        try:
            return room.answer(state)
        except BaseException:  # noqa: BLE001 - a panic in pycrdt is one
            raise ProtocolError("bad state vector") from None

    def serve_held(self, room: Room) -> None:
        """Serve who had to wait for the room."""
        held, room.held = room.held, {}
        for connection in held.values():
            self._membership.attempt(connection, room, self._server(connection, room))

    def _server(self, connection: Connection, room: Room) -> Callable[[], None]:
        return lambda: self.serve(connection, room)

    def announce(self, room: Room) -> None:
        """Announce awareness changes to everybody, their sender too."""
        changed = room.awareness.take_changes()
        if changed:
            frame = encode(encode_awareness(changed))
            for connection in list(room.members.values()):
                self._membership.tell(connection, room, lambda c: c.offer_awareness(frame))
