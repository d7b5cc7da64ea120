"""The epoll thread: it reads every socket that is ready, then gives every room its round.

A lone update leaves at once; under load batches grow by themselves, for what arrives while a
commit is under way waits for the next one (group commit). There is no timer but a coarse one for
dead peers, and without peers not even that.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable

from treenail_collab.live.committer import Committer
from treenail_collab.live.connection import Connection
from treenail_collab.live.conversation import Conversation
from treenail_collab.live.interfaces import DocumentKey, Entry, Journal, Limits
from treenail_collab.live.membership import Membership
from treenail_collab.live.room import Room, Round

log = logging.getLogger(__name__)

_EVENTS = 1024
_TICK_SECONDS = 5.0


class Loop:
    """Owns the sockets and the rooms' rounds; other threads reach it through ``post``."""

    def __init__(
        self,
        journal: Journal,
        limits: Limits,
        retire: Callable[[Room], None],
        lost: Callable[[Room], None],
    ) -> None:
        """``retire`` is offered rooms that seem idle; ``lost`` hears of a room thrown away."""
        self._membership = Membership(limits)
        self._conversation = Conversation(self._membership, limits)
        self._limits = limits
        self._retire = retire
        self._lost = lost
        self._rounds: list[Room] = []
        self._commands: deque[Callable[[], None]] = deque()
        self._tick = min(_TICK_SECONDS, limits.stall_seconds / 4, limits.ping_seconds / 4)
        self._next_round = 0.0
        self._next_check = 0.0
        self._stop_at: float | None = None
        self._posting = threading.Lock()
        self._ended = False
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._membership.epoll.register(self._wake, select.EPOLLIN)
        self._only_wake = select.poll()
        self._only_wake.register(self._wake, select.POLLIN)
        self._committer = Committer(journal, self._report)
        self._thread = threading.Thread(target=self._run, name="collab-loop", daemon=True)

    # From other threads

    def start(self) -> None:
        """Start this thread and the committer's."""
        self._committer.start()
        self._thread.start()

    def post(self, command: Callable[[], None]) -> bool:
        """Have ``command`` called in the loop's thread, in order; False when the loop has ended."""
        with self._posting:
            if self._ended:
                return False
            self._commands.append(command)
            os.eventfd_write(self._wake, 1)
            return True

    def _report(self, failed: set[DocumentKey]) -> None:
        self.post(lambda: self._settle(failed))

    def stop(self, code: int) -> None:
        """Close every socket, store what was received, end both threads. Not from the loop."""
        self.post(lambda: self._wind_down(code))
        self._thread.join()
        self._committer.stop()
        with self._posting:
            self._ended = True
            os.close(self._wake)
        self._membership.close()

    @property
    def connections(self) -> dict[int, Connection]:
        """All open connections by number; other threads may look."""
        return self._membership.connections

    # In the loop's thread

    def join(self, connection: Connection, room: Room) -> None:
        """Take a connection into its room."""
        self._membership.enter(connection, room)
        if room.dead or self._stop_at is not None:
            self._membership.part(connection, room, 1011 if room.dead else 1012, "try again")
        else:
            serve = self._conversation.serve
            self._membership.attempt(connection, room, lambda: serve(connection, room))

    def disconnect(self, number: int, code: int, reason: str) -> None:
        """Close the connection with that number, if it is there."""
        self._membership.disconnect(number, code, reason)

    def dismiss(self, connection: Connection, code: int, reason: str) -> None:
        """Close a connection that is to be no member."""
        self._membership.dismiss(connection, code, reason)

    # The round

    def _run(self) -> None:
        while not self._is_done():
            try:
                self._turn()
            # Nothing may end the thread: every document in the process lives in it.
            except BaseException:
                log.exception("collab: a round failed")

    def _is_done(self) -> bool:
        if self._stop_at is None:
            return False
        open_sockets = self._membership.members or self._membership.leaving
        at_work = open_sockets or self._rounds or self._conversation.busy
        return not at_work or time.monotonic() > self._stop_at

    def _turn(self) -> None:
        for fd, event in self._poll():
            self._attend(fd, event)
        while self._commands:
            self._guard(self._commands.popleft())
        if self._may_begin():
            self._commit()
        while self._membership.changed:
            self._look_after(self._membership.changed.popitem()[0])
        if time.monotonic() >= self._next_check:
            self._check()

    def _attend(self, fd: int, event: int) -> None:
        if fd == self._wake:
            os.eventfd_read(self._wake)
        elif fd in self._membership.members:
            connection, room = self._membership.members[fd]
            exchange = self._conversation.exchange
            self._membership.attempt(connection, room, lambda: exchange(connection, room, event))
        elif fd in self._membership.leaving:
            self._membership.see_off(self._membership.leaving[fd])

    def _poll(self) -> list[tuple[int, int]]:
        timeout: float | None = None
        if self._conversation.busy and not self._rounds:
            timeout = max(0.0, self._next_round - time.monotonic())
        elif self._stop_at is not None:
            timeout = min(self._tick, self._limits.linger_seconds / 2)
        elif self._membership.members or self._membership.leaving:
            timeout = self._tick
        if self._conversation.waiting_bytes > self._limits.waiting_bytes:
            # Too much is received and not stored: leave the rest to TCP's flow control.
            return self._only_wake.poll(None if timeout is None else timeout * 1000)
        return self._membership.epoll.poll(timeout, _EVENTS)

    @staticmethod
    def _guard(command: Callable[[], None]) -> None:
        try:
            command()
        except BaseException:
            log.exception("collab: a command failed")

    # Rounds

    def touch(self, room: Room) -> None:
        """Somebody has edited or let go of the Doc: go on with the room."""
        if room.dead:
            self._throw_away(room)
            return
        self._conversation.busy[room] = None
        self._conversation.serve_held(room)
        self._membership.changed[room] = None

    def _look_after(self, room: Room) -> None:
        """Announce who has come, moved or gone; let the room go when nobody needs it."""
        self._conversation.announce(room)
        if room.is_idle():
            self._retire(room)

    def _may_begin(self) -> bool:
        """A round at a time, and not too soon after the last: under load more goes into each.

        What comes after a pause leaves at once. Measured with 100 editors: 3 ms between two
        rounds save half of the frames and a third of the processor.
        """
        is_idle = bool(self._conversation.busy) and not self._rounds
        return is_idle and time.monotonic() >= self._next_round

    def _commit(self) -> None:
        """Stage every room that has something, and hand all of it to the committer at once."""
        self._next_round = time.monotonic() + self._limits.round_seconds
        entries: list[Entry] = []
        busy, self._conversation.busy = self._conversation.busy, {}
        for room in busy:
            entry = self._stage(room)
            if entry is not None:
                entries.append(entry)
                self._rounds.append(room)
            elif room.has_work() and not room.loop_waits:
                self._conversation.busy[room] = None
        if entries:
            self._committer.commit(entries)

    def _stage(self, room: Room) -> Entry | None:
        try:
            entry = room.stage() if room.has_work() else None
        except BaseException:
            log.exception("collab: a room failed")
            self._throw_away(room)
            entry = None
        if not room.inbox:
            self._conversation.waiting_bytes -= room.waiting
            room.waiting = 0
        rejected, room.rejected = room.rejected, []
        for connection, code, reason in rejected:
            self._membership.part(connection, room, code, reason)
        return entry

    def _settle(self, failed: set[DocumentKey]) -> None:
        rooms, self._rounds = self._rounds, []
        for room in rooms:
            try:
                if room.document in failed:
                    self._throw_away(room)
                else:
                    self._publish(room)
            except BaseException:
                log.exception("collab: a room failed")
                self._throw_away(room)

    def _publish(self, room: Room) -> None:
        done = room.settle()
        if done is None:
            return
        if done.frames:
            self._broadcast(room, done)
        for edit in done.edits:
            edit.done.set_result(None)
        if room.has_work():
            self._conversation.busy[room] = None
        self._conversation.serve_held(room)
        if room.is_idle():
            self._retire(room)

    def _broadcast(self, room: Room, done: Round) -> None:
        frames, before, only_sender = done.frames, done.before, done.only_sender
        for connection in list(room.members.values()):
            if connection is only_sender:
                continue
            try:
                connection.offer_update(frames, before)
            except OSError:
                self._membership.part(connection, room, None)
            else:
                if connection.queue and not connection.armed:
                    self._membership.arm(connection)

    def _throw_away(self, room: Room) -> None:
        """What the room holds is not stored and will not be: its members reconnect and resend."""
        room.die()
        self._lost(room)
        for connection in list(room.members.values()):
            self._membership.part(connection, room, 1011, "not stored, reconnect")
        self._conversation.waiting_bytes -= room.waiting
        room.waiting = 0
        room.inbox.clear()
        self._conversation.busy.pop(room, None)

    # The coarse timer, and the end

    def _check(self) -> None:
        now = time.monotonic()
        self._next_check = now + self._tick
        self._membership.check(now)
        for room in self._membership.rooms():
            if room.has_work():
                self._conversation.busy[room] = None

    def _wind_down(self, code: int) -> None:
        self._stop_at = time.monotonic() + self._limits.linger_seconds + 1
        self._membership.part_all(code, "server is going away")
