"""The sockets of one process: who is a member of which room, and who is on the way out."""

from __future__ import annotations

import logging
import select
from collections.abc import Callable

from treenail_collab.live.connection import Connection
from treenail_collab.live.frames import PING, FrameError, encode
from treenail_collab.live.interfaces import Limits
from treenail_collab.live.protocol import ProtocolError
from treenail_collab.live.room import Room

log = logging.getLogger(__name__)

_READ_BYTES = 256 * 2**10


class Membership:
    """Owns the sockets and the epoll object they are registered with.

    Belongs to the loop's thread; only ``connections`` may be looked at from others. ``changed``
    gathers the rooms whose presence has changed, for the loop to announce.
    """

    def __init__(self, limits: Limits) -> None:
        self.connections: dict[int, Connection] = {}
        self.members: dict[int, tuple[Connection, Room]] = {}
        self.leaving: dict[int, Connection] = {}
        self.changed: dict[Room, None] = {}
        self.epoll = select.epoll()
        self.buffer = memoryview(bytearray(_READ_BYTES))
        self._limits = limits

    def enter(self, connection: Connection, room: Room) -> None:
        """Make a connection a member of ``room``."""
        self.connections[connection.id] = connection
        self.members[connection.fd] = connection, room
        room.members[connection.id] = connection
        self.epoll.register(connection.fd, select.EPOLLIN)

    def disconnect(self, number: int, code: int, reason: str) -> None:
        """Close the connection with that number, if it is there."""
        connection = self.connections.get(number)
        if connection is not None and connection.fd in self.members:
            self.part(*self.members[connection.fd], code, reason)

    def attempt(self, connection: Connection, room: Room, action: Callable[[], None]) -> None:
        """Do something for one connection: whatever goes wrong ends this connection only."""
        try:
            action()
        except FrameError as failure:
            self.part(connection, room, failure.code, failure.reason)
        except ProtocolError as failure:
            self.part(connection, room, 1007, str(failure))
        except OSError:
            self.part(connection, room, None)
        except BaseException:
            log.exception("collab: a connection failed")
            self.part(connection, room, 1011, "internal error")
        else:
            self.arm(connection)

    def arm(self, connection: Connection) -> None:
        """Ask for writability exactly while something waits to be written, and it is open."""
        waits = bool(connection.queue)
        if waits != connection.armed and connection.sock.fileno() >= 0:
            connection.armed = waits
            wanted = select.EPOLLIN | (select.EPOLLOUT if waits else 0)
            self.epoll.modify(connection.fd, wanted)

    def part(self, connection: Connection, room: Room, code: int | None, reason: str = "") -> None:
        """End a membership: with a close frame, or (None) at once because the socket is gone."""
        if self.members.pop(connection.fd, None) is None:
            return
        self.connections.pop(connection.id, None)
        room.members.pop(connection.id, None)
        room.held.pop(connection.id, None)
        room.awareness.leave(connection.id)
        self.changed[room] = None
        if code is None:
            self._drop(connection)
        else:
            self._say_goodbye(connection, code, reason)

    def dismiss(self, connection: Connection, code: int, reason: str) -> None:
        """Close a connection that has never been a member."""
        self.epoll.register(connection.fd, select.EPOLLIN)
        self._say_goodbye(connection, code, reason)

    def _say_goodbye(self, connection: Connection, code: int, reason: str) -> None:
        self.leaving[connection.fd] = connection
        try:
            connection.say_goodbye(code, reason)
            self.arm(connection)
        except OSError:
            self._drop(connection)

    def see_off(self, connection: Connection) -> None:
        """Finish the close frame and discard what still comes, until the peer's end or too long.

        To close a socket with unread data would reset it, and the close frame could be lost.
        """
        try:
            if connection.queue:
                connection.finish()
                self.arm(connection)
            if connection.sock.recv_into(self.buffer):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        self.leaving.pop(connection.fd, None)
        self.epoll.unregister(connection.fd)
        connection.sock.close()

    def tell(self, connection: Connection, room: Room, offer: Callable[[Connection], None]) -> None:
        """Let ``offer`` send something to one member among many."""
        try:
            offer(connection)
        except OSError:
            self.part(connection, room, None)
            return
        if bool(connection.queue) != connection.armed:
            self.arm(connection)

    def check(self, now: float) -> None:
        """Close who does not read or has gone silent, ping who may have, drop who lingers."""
        for connection, room in list(self.members.values()):
            if connection.is_stalled(now):
                self.part(connection, room, 1013, "too slow")
            elif connection.is_silent(now, 2 * self._limits.ping_seconds):
                self.part(connection, room, None)
            elif not connection.pinged and connection.is_silent(now, self._limits.ping_seconds):
                connection.pinged = True
                self.tell(connection, room, lambda c: c.offer(encode(b"", PING)))
        for connection in list(self.leaving.values()):
            if now - (connection.closed_at or 0.0) > self._limits.linger_seconds:
                self._drop(connection)

    def rooms(self) -> set[Room]:
        """The rooms that have members."""
        return {room for _, room in self.members.values()}

    def part_all(self, code: int, reason: str) -> None:
        """Close every member's socket."""
        for connection, room in list(self.members.values()):
            self.part(connection, room, code, reason)

    def close(self) -> None:
        """Let go of every descriptor, at once."""
        self.epoll.close()
        for connection in [*self.connections.values(), *self.leaving.values()]:
            connection.sock.close()
