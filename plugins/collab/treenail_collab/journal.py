"""The journal in the database: the one place where document bytes are sealed and opened.

It speaks Core, not the ORM, and to all tenants at once: one commit holds a round of every
open document. Each statement names tenant and document.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast

import structlog
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Table,
    and_,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError
from treenail.clock import utcnow
from treenail.crypto import KeyRing
from treenail.db import rls
from treenail.db.sealed import context

from treenail_collab.appender import Appender
from treenail_collab.live.compaction import Compacted, compact
from treenail_collab.live.interfaces import DocumentKey, Entry
from treenail_collab.models import Snapshot, Update
from treenail_collab.settings import CollabSettings

UPDATES, SNAPSHOTS = cast(Table, Update.__table__), cast(Table, Snapshot.__table__)
DELETED_AT_ONCE = 500
log = structlog.get_logger("treenail.collab")


class Version(NamedTuple):
    """How far a document's history goes, and since when."""

    seq: int
    at: datetime | None


class Stored(NamedTuple):
    """What the database has of a document: the snapshot as of ``folded``, and the log's rows."""

    snapshot: bytes | None
    folded: int
    rows: list[tuple[int, bytes]]

    @property
    def seq(self) -> int:
        """The last number that was given."""
        return max(self.folded, self.rows[-1][0] if self.rows else 0)

    @property
    def updates(self) -> list[bytes]:
        """All of it, in order."""
        return [data for data in (self.snapshot, *(data for _, data in self.rows)) if data]


class DatabaseJournal:
    """Keeps the updates of all documents; safe to call from several threads."""

    def __init__(
        self, engine: Engine, keyring: KeyRing, compact_rows: int = CollabSettings.compact_rows
    ) -> None:
        self._engine = engine
        self._keyring = keyring
        self._compact_rows = compact_rows
        self._appender = Appender(engine, UPDATES)
        self._last: dict[DocumentKey, int] = {}
        self._rows: dict[DocumentKey, int] = {}
        self._lock = threading.Lock()
        self._compacting = threading.Lock()

    def load(self, document: DocumentKey) -> list[bytes]:
        """The snapshot first, then the updates in order; an empty list is a new document."""
        stored = self._stored(document)
        with self._lock:
            self._last[document] = stored.seq
            self._rows[document] = len(stored.rows)
        return stored.updates

    def read(self, document: DocumentKey) -> list[bytes]:
        """The same for a mere look, of which nothing is remembered."""
        return self._stored(document).updates

    def append(self, entries: Sequence[Entry]) -> None:
        """Store all entries in one transaction; when it raises, nothing is stored."""
        last = {document: self._last_of(document) for document in {e.document for e in entries}}
        rows = []
        for entry in entries:
            last[entry.document] += 1
            rows.append(self._row(entry, last[entry.document]))
        self._appender.append(rows)
        with self._lock:
            for entry in entries:
                if entry.document in self._last:
                    self._last[entry.document] = last[entry.document]
                    self._rows[entry.document] += 1

    def first_row(self, entry: Entry) -> Update:
        """The first of a document that is being made, to be stored in that transaction."""
        return Update(**self._row(entry, 1))

    def close(self) -> None:
        """Give back what it holds of the database."""
        self._appender.close()

    def released(self, document: DocumentKey) -> None:
        """Nobody has the document open any more: fold its log up."""
        self.compact(document)

    def forget(self, document: DocumentKey) -> None:
        """The document is closed; it may be open again before its log is folded up."""
        with self._lock:
            self._last.pop(document, None)
            self._rows.pop(document, None)

    def overgrown(self) -> list[DocumentKey]:
        """Open documents whose log is long enough to be folded up."""
        with self._lock:
            return [key for key, rows in self._rows.items() if rows >= self._compact_rows]

    def compact(self, document: DocumentKey) -> None:
        """Fold the log into the snapshot, in one transaction; may run while others append."""
        with self._compacting:
            stored = self._stored(document)
            if not stored.rows:
                return
            with self._lock:
                # What stays because it is pending is not looked at again before new rows come.
                if document in self._rows:
                    self._rows[document] -= len(stored.rows)
            folded = compact(stored.snapshot, stored.rows)
            if folded.integrated:
                self._replace(document, stored, folded)

    def version(self, document: DocumentKey) -> Version:
        """The document's present version."""
        with rls.transaction(self._engine, document.tenant_id, read_only=True) as connection:
            return self._version(connection, document)

    # Rows

    def _version(self, connection: Connection, document: DocumentKey) -> Version:
        newest = [
            connection.execute(
                select(func.max(table.c.seq), func.max(table.c.created_at)).where(
                    _of(table, document)
                )
            ).one()
            for table in (UPDATES, SNAPSHOTS)
        ]
        moments = [at for _, at in newest if at is not None]
        return Version(max(seq or 0 for seq, _ in newest), max(moments, default=None))

    def _last_of(self, document: DocumentKey) -> int:
        with self._lock:
            known = self._last.get(document)
        return self.version(document).seq if known is None else known

    def _stored(self, document: DocumentKey) -> Stored:
        """The rows first: PostgreSQL shows each statement what is committed by then, and what a
        compaction between the two takes from the log is in the snapshot.
        """
        with rls.transaction(self._engine, document.tenant_id, read_only=True) as connection:
            rows = self._updates(connection, document)
            found = connection.execute(
                select(SNAPSHOTS.c.seq, SNAPSHOTS.c.data_sealed).where(_of(SNAPSHOTS, document))
            ).one_or_none()
        if found is None:
            return Stored(None, 0, rows)
        opened = self._keyring.open(found.data_sealed, _place(SNAPSHOTS, document, ""))
        return Stored(opened, found.seq, rows)

    def _updates(self, connection: Connection, document: DocumentKey) -> list[tuple[int, bytes]]:
        rows = connection.execute(
            select(UPDATES.c.seq, UPDATES.c.data_sealed)
            .where(_of(UPDATES, document))
            .order_by(UPDATES.c.seq)
        )
        opened = self._keyring.open
        return [(seq, opened(data, _place(UPDATES, document, seq))) for seq, data in rows]

    def _row(self, entry: Entry, seq: int) -> dict[str, Any]:
        return {
            "tenant_id": entry.document.tenant_id,
            "document_id": entry.document.document_id,
            "seq": seq,
            "data_sealed": self._keyring.seal(entry.data, _place(UPDATES, entry.document, seq)),
            "user_ids": list(entry.user_ids),
            "created_at": utcnow(),
        }

    def _replace(self, document: DocumentKey, stored: Stored, folded: Compacted) -> None:
        """Swap snapshot and rows, unless another process or a deletion came first."""
        try:
            with rls.transaction(self._engine, document.tenant_id) as connection:
                if not self._put_snapshot(connection, document, stored, folded.snapshot):
                    return
                for start in range(0, len(folded.integrated), DELETED_AT_ONCE):
                    chunk = folded.integrated[start : start + DELETED_AT_ONCE]
                    where = _of(UPDATES, document), UPDATES.c.seq.in_(chunk)
                    connection.execute(delete(UPDATES).where(*where))
        except IntegrityError:
            log.info("compaction_overtaken", document=document.document_id)

    def _put_snapshot(
        self, connection: Connection, document: DocumentKey, stored: Stored, snapshot: bytes
    ) -> bool:
        """Put a snapshot in the place of the one that was read, if that is still there."""
        values = {
            "seq": stored.seq,
            "data_sealed": self._keyring.seal(snapshot, _place(SNAPSHOTS, document, "")),
            # The moment of the last change, not of folding it up.
            "created_at": select(func.max(UPDATES.c.created_at))
            .where(_of(UPDATES, document))
            .scalar_subquery(),
        }
        if stored.snapshot is None:
            key = {"tenant_id": document.tenant_id, "document_id": document.document_id}
            connection.execute(insert(SNAPSHOTS).values(key | values))
            return True
        unchanged = _of(SNAPSHOTS, document), SNAPSHOTS.c.seq == stored.folded
        return connection.execute(update(SNAPSHOTS).where(*unchanged).values(values)).rowcount == 1


def _of(table: Table, document: DocumentKey) -> ColumnElement[bool]:
    return and_(
        table.c.tenant_id == document.tenant_id, table.c.document_id == document.document_id
    )


def _place(table: Table, document: DocumentKey, seq: int | str) -> str:
    """What a value is sealed for: moved to another row it does not open."""
    row = f"{document.document_id}.{seq}"
    return context(document.tenant_id, table.name, "data_sealed", row)
