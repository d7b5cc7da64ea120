"""Live collaboration in one process: sockets are adopted here, documents read and edited.

The hub keeps the rooms; its threads start with the first socket or edit, so that a server which
forks after loading the application has them in the process that serves.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

from pycrdt import Doc

from treenail_collab.live.connection import Connection
from treenail_collab.live.housekeeper import Housekeeper
from treenail_collab.live.interfaces import DocumentKey, Entry, Journal, Limits, Peer
from treenail_collab.live.loop import Loop
from treenail_collab.live.room import DocumentFullError, Room, load_doc

__all__ = ["DocumentFullError", "DocumentKey", "Entry", "Hub", "Journal", "Limits", "Peer"]

T = TypeVar("T")


class Hub:
    """All open documents of one process; every method is safe to call from any thread."""

    def __init__(self, journal: Journal, limits: Limits) -> None:
        self._journal = journal
        self._limits = limits
        # An event stands for a room that one thread is loading while others wait.
        self._rooms: dict[DocumentKey, Room | threading.Event] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._loop: Loop | None = None
        self._housekeeper = Housekeeper(journal)
        self._closed = False

    def adopt(self, fd: int, peer: Peer) -> None:
        """Take over a socket on which the handshake is done; the hub closes it, come what may.

        The document is loaded here, in the caller's thread. Raises what the journal raises, and
        RuntimeError when the hub is closed.
        """
        connection = Connection(next(self._numbers), fd, peer, self._limits)
        try:
            loop = self._started()
            room = self._open(peer.document)
        except BaseException:
            connection.sock.close()
            raise
        loop.connections[connection.id] = connection
        if not loop.post(lambda: self._seat(loop, connection, room)):
            loop.connections.pop(connection.id)
            connection.sock.close()
            raise RuntimeError("the hub is closed")

    def dismiss(self, fd: int, code: int, reason: str) -> None:
        """Take over a socket only to close it with ``code``; the caller does not wait for it.

        A socket closed with unread data is reset, and the peer may never see the code: so it is
        read on for ``Limits.linger_seconds``.
        """
        nobody = Peer(DocumentKey("", ""), "", "", None, read_only=True)
        connection = Connection(next(self._numbers), fd, nobody, self._limits)
        try:
            loop = self._started()
        except BaseException:
            connection.sock.close()
            raise
        if not loop.post(lambda: loop.dismiss(connection, code, reason)):
            connection.sock.close()

    def connections(self) -> list[tuple[int, Peer]]:
        """The open connections: number and peer."""
        loop = self._loop
        if loop is None:
            return []
        return [(connection.id, connection.peer) for connection in list(loop.connections.values())]

    def set_read_only(self, connection: int, read_only: bool) -> None:
        """Take away or give back the right to write; from the next message on."""
        found = self._loop.connections.get(connection) if self._loop is not None else None
        if found is not None:
            found.peer = replace(found.peer, read_only=read_only)

    def disconnect(self, connection: int, code: int, reason: str) -> None:
        """Close a connection, within a round of the loop."""
        loop = self._loop
        if loop is not None:
            loop.post(lambda: loop.disconnect(connection, code, reason))

    def read(self, document: DocumentKey, reader: Callable[[Doc[Any]], T]) -> T:
        """What ``reader`` makes of the document's stored content, which it must not change.

        From the open room if there is one, else from a Doc loaded for the moment.
        """
        room = self._hold(document)
        if room is None:
            return reader(load_doc(self._journal.read(document)))
        with self._held(room), room.claim():
            return reader(room.doc)

    def edit(self, document: DocumentKey, editor: Callable[[Doc[Any]], None], user_id: str) -> None:
        """Change the document as a member would; returns once it is stored and sent to members.

        ``editor`` runs in one transaction. When it raises, nothing of it is stored or seen.
        Raises DocumentFullError, and RuntimeError when the change could not be stored.
        """
        self._started()
        room = self._open(document)
        with self._held(room):
            edit = room.edit(editor, user_id, lambda: self._journal.load(document))
            # The claim is over: let the loop take the edit up.
            self._touch(room)
            if edit is not None:
                edit.done.result()

    def close(self, code: int = 1012) -> None:
        """Close all sockets with ``code``, store what was received, and end the threads."""
        with self._lock:
            already, self._closed = self._closed, True
            loop = self._loop
        if loop is not None and not already:
            loop.stop(code)
            self._housekeeper.stop()
            self._abandon()

    def _abandon(self) -> None:
        """Tell whoever still waits for a room that nothing will happen any more."""
        with self._lock:
            rooms = [room for room in self._rooms.values() if isinstance(room, Room)]
            self._rooms.clear()
        for room in rooms:
            room.die()

    # Threads

    def _started(self) -> Loop:
        with self._lock:
            if self._closed:
                raise RuntimeError("the hub is closed")
            if self._loop is None:
                self._loop = Loop(self._journal, self._limits, self._retire, self._lose)
                self._loop.start()
                self._housekeeper.start()
            return self._loop

    # Rooms

    def _open(self, document: DocumentKey) -> Room:
        """The document's room, with one more hold on it; loaded by the first who asks."""
        while True:
            with self._lock:
                found = self._rooms.get(document)
                if isinstance(found, Room):
                    found.holds += 1
                    return found
                if found is None:
                    opening = self._rooms[document] = threading.Event()
                    break
            found.wait()
        return self._load(document, opening)

    def _load(self, document: DocumentKey, opening: threading.Event) -> Room:
        try:
            room = Room(document, self._journal.load(document), self._limits)
        except BaseException:
            with self._lock:
                self._drop(document)
            raise
        else:
            room.holds = 1
            with self._lock:
                self._rooms[document] = room
            return room
        finally:
            opening.set()

    def _hold(self, document: DocumentKey) -> Room | None:
        """The open room with one more hold on it, if it is open."""
        with self._lock:
            room = self._rooms.get(document)
            if not isinstance(room, Room):
                return None
            room.holds += 1
            return room

    @contextmanager
    def _held(self, room: Room) -> Iterator[None]:
        """Give a hold back, and have the loop look after the room."""
        try:
            yield
        finally:
            with self._lock:
                room.holds -= 1
            self._touch(room)

    def _seat(self, loop: Loop, connection: Connection, room: Room) -> None:
        """Turn a hold into a membership; in the loop's thread."""
        loop.join(connection, room)
        with self._lock:
            room.holds -= 1

    def _touch(self, room: Room) -> None:
        loop = self._loop
        if loop is not None:
            loop.post(lambda: loop.touch(room))

    def _retire(self, room: Room) -> None:
        """Forget a room that nobody needs; called in the loop's thread."""
        with self._lock:
            if not room.is_idle() or self._rooms.get(room.document) is not room:
                return
            self._drop(room.document)
        room.unload()
        self._housekeeper.released(room.document)

    def _lose(self, room: Room) -> None:
        """Forget a room whose content is not what is stored; called in the loop's thread."""
        with self._lock:
            if self._rooms.get(room.document) is room:
                self._drop(room.document)

    def _drop(self, document: DocumentKey) -> None:
        """Let go of an open document (hold ``lock``: it may be opened again right after)."""
        del self._rooms[document]
        self._journal.forget(document)
