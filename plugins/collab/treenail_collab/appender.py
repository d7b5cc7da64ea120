"""Appending to the log at the speed of the driver.

The loop commits up to a thousand times a second; SQLAlchemy's Core takes 100 µs for such a
transaction, of which SQLite needs 16. So the statement is compiled once, and one connection
is kept.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import Engine, PoolProxiedConnection, Table
from treenail.db import rls
from treenail.db.inserts import Insert

Row = Mapping[str, Any]


class Appender:
    """Inserts rows into one table, each call a transaction; safe to call from any thread."""

    def __init__(self, engine: Engine, table: Table) -> None:
        self._engine = engine
        self._insert_row = Insert(table, engine.dialect)
        self._connection: PoolProxiedConnection | None = None
        self._lock = threading.Lock()

    def append(self, rows: Sequence[Row]) -> None:
        """Insert the rows and commit; when it raises, nothing was inserted."""
        parameters = [self._insert_row.parameters(row) for row in rows]
        with self._lock:
            try:
                self._insert(parameters)
            except BaseException:
                self._discard()
                raise

    def close(self) -> None:
        """Give the connection back."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _insert(self, parameters: list[Any]) -> None:
        if self._connection is None:
            self._connection = self._engine.raw_connection()
        # One commit holds the rows of many tenants.
        rls.begin(self._connection, rls.SYSTEM)
        cursor = self._connection.cursor()
        cursor.executemany(self._insert_row.sql, parameters)
        self._connection.commit()
        cursor.close()

    def _discard(self) -> None:
        """A connection on which something failed is not used again."""
        if self._connection is not None:
            # To close it is not enough: as long as a traceback holds the cursor, SQLite keeps
            # the transaction, and its lock, of a connection that was closed.
            with suppress(Exception):
                self._connection.rollback()
            self._connection.invalidate()
            self._connection = None
