"""The journal in the database: the one place where document bytes are sealed and opened.

It speaks Core, not the ORM, and to all tenants at once: one commit holds a round of every
open document. Each statement names tenant and document.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast

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
)
from treenail.clock import utcnow
from treenail.crypto import KeyRing
from treenail.db.engines import reading
from treenail.db.sealed import context

from treenail_collab.appender import Appender
from treenail_collab.live.compaction import compact
from treenail_collab.live.interfaces import DocumentKey, Entry
from treenail_collab.models import Snapshot, Update

UPDATES, SNAPSHOTS = cast(Table, Update.__table__), cast(Table, Snapshot.__table__)
DELETED_AT_ONCE = 500


class Version(NamedTuple):
    """How far a document's history goes, and since when."""

    seq: int
    at: datetime | None


class DatabaseJournal:
    """Keeps the updates of all documents; safe to call from several threads."""

    def __init__(self, engine: Engine, keyring: KeyRing, compact_rows: int = 500) -> None:
        self._engine = engine
        self._keyring = keyring
        self._compact_rows = compact_rows
        self._appender = Appender(engine, UPDATES)
        self._last: dict[DocumentKey, int] = {}
        self._rows: dict[DocumentKey, int] = {}
        self._lock = threading.Lock()

    def load(self, document: DocumentKey) -> list[bytes]:
        """The snapshot first, then the updates in order; an empty list is a new document."""
        with reading(self._engine).begin() as connection:
            snapshot = self._snapshot(connection, document)
            rows = self._updates(connection, document)
            version = self._version(connection, document)
        with self._lock:
            self._last[document] = version.seq
            self._rows[document] = len(rows)
        return ([snapshot] if snapshot is not None else []) + [data for _, data in rows]

    def append(self, entries: Sequence[Entry]) -> None:
        """Store all entries in one transaction; when it raises, nothing is stored."""
        with self._lock:
            last = {e.document: self._last.get(e.document, 0) for e in entries}
        rows = []
        for entry in entries:
            last[entry.document] += 1
            rows.append(self._row(entry, last[entry.document]))
        self._appender.append(rows)
        with self._lock:
            self._last |= last
            for document in last:
                self._rows[document] = self._rows.get(document, 0) + 1

    def close(self) -> None:
        """Give back what it holds of the database."""
        self._appender.close()

    def released(self, document: DocumentKey) -> None:
        """The document is closed: fold its log up, and forget about it."""
        try:
            self.compact(document)
        finally:
            with self._lock:
                self._last.pop(document, None)
                self._rows.pop(document, None)

    def overgrown(self) -> list[DocumentKey]:
        """Open documents whose log is long enough to be folded up."""
        with self._lock:
            return [key for key, rows in self._rows.items() if rows >= self._compact_rows]

    def compact(self, document: DocumentKey) -> None:
        """Fold the log into the snapshot, in one transaction; may run while others append."""
        with reading(self._engine).begin() as connection:
            snapshot = self._snapshot(connection, document)
            rows = self._updates(connection, document)
        if not rows:
            return
        folded = compact(snapshot, rows)
        with self._engine.begin() as connection:
            self._store(connection, document, folded.snapshot, rows[-1][0])
            for start in range(0, len(folded.integrated), DELETED_AT_ONCE):
                chunk = folded.integrated[start : start + DELETED_AT_ONCE]
                where = _of(UPDATES, document), UPDATES.c.seq.in_(chunk)
                connection.execute(delete(UPDATES).where(*where))
        with self._lock:
            if document in self._rows:
                self._rows[document] -= len(folded.integrated)

    def version(self, document: DocumentKey) -> Version:
        """The document's present version."""
        with reading(self._engine).begin() as connection:
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

    def _snapshot(self, connection: Connection, document: DocumentKey) -> bytes | None:
        found = connection.scalar(select(SNAPSHOTS.c.data_sealed).where(_of(SNAPSHOTS, document)))
        if found is None:
            return None
        return self._keyring.open(found, _place(SNAPSHOTS, document, ""))

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

    def _store(
        self, connection: Connection, document: DocumentKey, snapshot: bytes, seq: int
    ) -> None:
        connection.execute(delete(SNAPSHOTS).where(_of(SNAPSHOTS, document)))
        connection.execute(
            insert(SNAPSHOTS).values(
                tenant_id=document.tenant_id,
                document_id=document.document_id,
                seq=seq,
                data_sealed=self._keyring.seal(snapshot, _place(SNAPSHOTS, document, "")),
                created_at=utcnow(),
            )
        )


def _of(table: Table, document: DocumentKey) -> ColumnElement[bool]:
    return and_(
        table.c.tenant_id == document.tenant_id, table.c.document_id == document.document_id
    )


def _place(table: Table, document: DocumentKey, seq: int | str) -> str:
    """What a value is sealed for: moved to another row it does not open."""
    row = f"{document.document_id}.{seq}"
    return context(document.tenant_id, table.name, "data_sealed", row)
