"""Appending to the log at the speed of the driver.

The loop commits up to a thousand times a second; SQLAlchemy's Core takes 100 µs for such a
transaction, of which SQLite needs 16. So the statement is compiled and the types' converters
are looked up once, and one connection is kept.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import Engine, PoolProxiedConnection, Table, insert
from treenail.db import rls

Row = Mapping[str, Any]


class Appender:
    """Inserts rows into one table, each call a transaction; safe to call from any thread."""

    def __init__(self, engine: Engine, table: Table) -> None:
        dialect = engine.dialect
        self._engine = engine
        self._compiled = insert(table).compile(dialect=dialect)
        self._converters: dict[str, Callable[[Any], Any]] = {
            column.name: column.type.dialect_impl(dialect).bind_processor(dialect) or _as_it_is
            for column in table.columns
        }
        self._connection: PoolProxiedConnection | None = None
        self._lock = threading.Lock()

    def append(self, rows: Sequence[Row]) -> None:
        """Insert the rows and commit; when it raises, nothing was inserted."""
        parameters = [self._parameters(row) for row in rows]
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
        cursor.executemany(str(self._compiled), parameters)
        self._connection.commit()
        cursor.close()

    def _parameters(self, row: Row) -> Any:
        converted = {name: convert(row[name]) for name, convert in self._converters.items()}
        order = self._compiled.positiontup
        return converted if order is None else [converted[name] for name in order]

    def _discard(self) -> None:
        """A connection on which something failed is not used again."""
        if self._connection is not None:
            # To close it is not enough: as long as a traceback holds the cursor, SQLite keeps
            # the transaction, and its lock, of a connection that was closed.
            with suppress(Exception):
                self._connection.rollback()
            self._connection.invalidate()
            self._connection = None


def _as_it_is(value: Any) -> Any:
    return value
