"""One open document: its pycrdt Doc, its members, and the rule that only what is stored is seen.

A round: what members have said gathers in ``inbox``; ``stage`` applies it as one transaction and
says what to store; the room is then *dirty* until ``settle`` says it is stored, and only then is
it sent out. Threads that read or edit take turns with the loop through ``claim``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pycrdt import Doc, Subscription, TransactionEvent

from treenail_collab.live.awareness import Awareness
from treenail_collab.live.connection import Connection
from treenail_collab.live.frames import encode
from treenail_collab.live.interfaces import DocumentKey, Entry, Limits
from treenail_collab.live.protocol import (
    EMPTY_STATE,
    encode_step2,
    encode_update,
    is_integrated,
    merge,
)
from treenail_collab.live.replay import replay, resolve


class DocumentFullError(Exception):
    """The edit would take the document beyond ``Limits.document_bytes``."""


class Edit(NamedTuple):
    """A change the server itself has made: applied, not yet stored."""

    update: bytes
    user_id: str
    done: Future[None]


@dataclass
class Round:
    """What a dirty room sends out once it is stored."""

    before: bytes
    frames: bytes = b""
    only_sender: Connection | None = None
    edits: list[Edit] = field(default_factory=list)


def load_doc(rows: list[bytes]) -> Doc[Any]:
    """A Doc with what the journal has, replayed in one transaction. Raises ValueError."""
    doc: Doc[Any] = Doc(allow_multithreading=True)
    replay(doc, rows)
    return doc


class Room:
    """``lock`` guards the Doc; all else belongs to the loop's thread but where it says so."""

    def __init__(self, document: DocumentKey, rows: list[bytes], limits: Limits) -> None:
        """``rows`` is what the journal has. Raises ValueError when it cannot be read."""
        self.document = document
        self.limits = limits
        self.members: dict[int, Connection] = {}
        self.awareness = Awareness()
        self.inbox: list[tuple[Connection, list[bytes]]] = []
        self.waiting = 0
        self.edits: list[Edit] = []
        self.held: dict[int, Connection] = {}
        self.rejected: list[tuple[Connection, int, str]] = []
        self.round: Round | None = None
        self.holds = 0
        self.dirty = False
        self.dead = False
        self.lock = threading.Condition(threading.RLock())
        self._claims = 0
        self._claimed = False
        self.loop_waits = False
        """A thread has claimed the Doc: its release must wake the loop."""
        self._subscription: Subscription | None = None
        self.load(rows)

    def load(self, rows: list[bytes]) -> None:
        """Start from stored content, dropping what the Doc holds beyond it."""
        doc: Doc[Any] = Doc(allow_multithreading=True)
        self._pending = replay(doc, rows)
        self.unload()
        self._events: list[bytes] = []
        self._subscription = doc.observe(self._observe)
        self.doc = doc
        self.state = doc.get_state()
        self._retry_at = 0.0
        self._is_stale = False
        self._size = sum(map(len, rows))
        self._unmeasured = True
        self._whole: bytes | None = None

    def unload(self) -> None:
        """Stop observing: the Doc refers to the room through its observer, out of gc's sight."""
        if self._subscription is not None:
            self.doc.unobserve(self._subscription)
            self._subscription = None

    def _observe(self, event: TransactionEvent) -> None:
        self._events.append(bytes(event.update))

    def _take_events(self) -> list[bytes]:
        events, self._events = self._events, []
        return events

    # Taking turns: threads that read or edit, and the loop

    @contextmanager
    def claim(self) -> Iterator[None]:
        """Have the Doc to oneself while it is all stored content. Any thread but the loop's.

        Waits for a commit under way, and lets the loop have its turn after each group of claims.
        Raises RuntimeError when the commit waited for has failed.
        """
        with self.lock:
            self.lock.wait_for(lambda: self.dead or not self.loop_waits)
            self._claims += 1
            self.lock.wait_for(lambda: self.dead or not (self.dirty or self._claimed))
            if self.dead:
                self._claims -= 1
                raise RuntimeError("the room was thrown away: a commit failed")
            self._claimed = True
        try:
            yield
        finally:
            with self.lock:
                self._claimed = False
                self._claims -= 1
                self.lock.notify_all()

    def edit(
        self, editor: Callable[[Doc[Any]], None], user_id: str, reload: Callable[[], list[bytes]]
    ) -> Edit | None:
        """Run ``editor`` in one transaction; None when it changed nothing.

        When it raises, or makes the document too big (DocumentFullError), the Doc is loaded again:
        a CRDT has no undo, and half an edit must not be seen.
        """
        with self.claim():
            try:
                with self.doc.transaction():
                    editor(self.doc)
                update = merge(self._events) if self._events else b""
                if update and not self._fits(len(update)):
                    raise DocumentFullError(self.document)
            except BaseException:
                self._restore(reload)
                raise
            self._events.clear()
            if not update:
                return None
            edit = Edit(update, user_id, Future())
            self.edits.append(edit)
            self.dirty = True
            return edit

    def _restore(self, reload: Callable[[], list[bytes]]) -> None:
        try:
            self.load(reload())
        except BaseException:
            # What the Doc holds now is not what is stored: nobody may see it.
            self.die()
            raise

    # A round

    def has_work(self) -> bool:
        """Whether there is something to stage that is not being stored already."""
        return self.round is None and bool(self.inbox or self.edits or self._is_retry_due())

    def stage(self) -> Entry | None:
        """Apply what has gathered; returns what to store, None when there is nothing.

        Also None when somebody has claimed the Doc: their release wakes the loop.
        """
        with self.lock:
            self.loop_waits = self._claimed or bool(self._claims and not self.edits)
            if self.loop_waits:
                return None
            entry = self._stage()
            self.lock.notify_all()
            return entry

    def _stage(self) -> Entry | None:
        batch, self.inbox = self.inbox, []
        edits, self.edits = self.edits, []
        had_pending = bool(self._pending)
        changed = [edit.update for edit in edits]
        said = changed + self._events  # whatever a reader has changed against the rules
        raw, senders = self._apply(self._admit(batch))
        said += [raw] if raw is not None else []
        self._retry(bool(said))
        events = changed + self._take_events()
        before = self._move_on(events)
        if raw is not None and not is_integrated(raw, self.state):
            self._pending.append(raw)
        elif not events:
            return None
        data = merge(said or events)
        self._size += len(data)
        self._unmeasured = True
        # Resolving what had been pending brings others' changes along: nobody is left out then.
        alone = len(senders) == 1 and not edits and not had_pending
        frames = b"".join(encode(encode_update(event)) for event in events)
        self.round = Round(before, frames, senders[0] if alone else None, edits)
        self.dirty = True
        user_ids = [edit.user_id for edit in edits] + [c.peer.user_id for c in senders]
        return Entry(self.document, data, tuple(dict.fromkeys(user_ids)))

    def _move_on(self, events: list[bytes]) -> bytes:
        """Note that the Doc has changed; returns the state vector from before."""
        before = self.state
        if events:
            self._whole = None
            self.state = self.doc.get_state()
        return before

    def _apply(
        self, batch: list[tuple[Connection, list[bytes]]]
    ) -> tuple[bytes | None, list[Connection]]:
        """Apply a batch in one transaction; returns it as one update, and who contributed."""
        updates = [update for _, said in batch for update in said]
        if not updates:
            return None, []
        try:
            # Merging first makes a document that was loaded again the same as the live one.
            raw = merge(updates)
            self.doc.apply_update(raw)
        except BaseException:  # noqa: BLE001 - a panic in pycrdt is one
            return self._apply_singly(batch)
        return raw, list({sender.id: sender for sender, _ in batch}.values())

    def _apply_singly(
        self, batch: list[tuple[Connection, list[bytes]]]
    ) -> tuple[bytes | None, list[Connection]]:
        """The same, one by one, because something in the batch is bad: its sender is rejected."""
        good: list[bytes] = []
        senders: dict[int, Connection] = {}
        bad: set[int] = set()
        with self.doc.transaction():
            for sender, said in batch:
                for update in said:
                    if sender.id in bad:
                        break
                    try:
                        self.doc.apply_update(update)
                    except BaseException:  # noqa: BLE001 - a panic in pycrdt is one
                        bad.add(sender.id)
                        self.rejected.append((sender, 1007, "bad update"))
                    else:
                        good.append(update)
                        senders[sender.id] = sender
        # What a panic may have left half applied has to be stored too, or it would be seen.
        good += self._events
        return (merge(good) if good else None), list(senders.values())

    def _retry(self, is_stale: bool) -> None:
        """See whether what is pending can be integrated by now (a twentieth of the time)."""
        self._is_stale = bool(self._pending) and (self._is_stale or is_stale)
        if self._is_retry_due():
            start = time.monotonic()
            self._pending = resolve(self.doc, self._pending)
            self._is_stale = False
            self._retry_at = start + 21 * (time.monotonic() - start)

    def _is_retry_due(self) -> bool:
        return self._is_stale and time.monotonic() >= self._retry_at

    def settle(self) -> Round | None:
        """The round is stored: returns what may be seen now."""
        with self.lock:
            done, self.round = self.round, None
            self.dirty = bool(self.edits)
            self.lock.notify_all()
        return done

    def die(self) -> None:
        """What the room holds is not what is stored: whoever waits for it is told."""
        with self.lock:
            self.dead = True
            lost = (self.round.edits if self.round else []) + self.edits
            self.round, self.edits = None, []
            self.lock.notify_all()
        for edit in lost:
            edit.done.set_exception(RuntimeError("the edit could not be stored"))

    # Size

    def _admit(
        self, batch: list[tuple[Connection, list[bytes]]]
    ) -> list[tuple[Connection, list[bytes]]]:
        """What of the batch stays within the document's limit, if that is known.

        Of the rest, an update that is too much by itself costs its sender the connection; what is
        too much only after the others waits a round, for these may have replaced one another.
        """
        if self._fits(sum(len(update) for _, said in batch for update in said)):
            return batch
        admitted: list[tuple[Connection, list[bytes]]] = []
        total = 0
        for position, (sender, said) in enumerate(batch):
            fitting = 0
            for update in said:
                # Deletions (no structs) make it smaller and are always let in.
                growth = len(update) if update[0] else 0
                if growth and not self._fits(total + growth):
                    break
                total += growth
                fitting += 1
            admitted.append((sender, said[:fitting]))
            if fitting < len(said) and (fitting or position):
                self.inbox = [(sender, said[fitting:]), *batch[position + 1 :]]
                break
            if fitting < len(said):
                self.rejected.append((sender, 1009, "document too big"))
        return [pair for pair in admitted if pair[1]]

    def _fits(self, growth: int) -> bool:
        """Whether ``growth`` more bytes stay within the limit.

        A running sum first, which forgets that newer values replace older ones. Only when that is
        too much the exact size, for which the whole document is encoded: the closer it comes to
        the limit, the more often.
        """
        limit = self.limits.document_bytes
        if self._size + growth > limit and self._unmeasured:
            self._size = len(self.doc.get_update()) + sum(map(len, self._pending))
            self._unmeasured = False
        return self._size + growth <= limit

    # Answers

    def is_quiet(self) -> bool:
        """Whether the Doc is stored content and nobody has claimed it (hold ``lock``)."""
        return not (self.dirty or self._claimed)

    def answer(self, state: bytes) -> bytes:
        """The frame of a sync step 2 from ``state``. Raises ValueError for a bad state vector.

        Kept for the empty one: everybody who opens a document asks for the same.
        """
        if state != EMPTY_STATE:
            return encode(encode_step2(self.doc.get_update(state)))
        if self._whole is None:
            self._whole = encode(encode_step2(self.doc.get_update()))
        return self._whole

    def is_idle(self) -> bool:
        """Whether nobody needs it any more (the hub's lock guards ``holds``)."""
        busy = self.members or self.holds or self.inbox or self.edits or self.round
        return not busy
