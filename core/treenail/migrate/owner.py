"""The owner's connection: for what changes tables, in one process at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, NullPool, create_engine, event, text

from treenail.settings import CoreSettings

LOCK = 0x7472656E  # "tren"


@contextmanager
def transaction(settings: CoreSettings, *, foreign_keys: bool = True) -> Iterator[Connection]:
    """A transaction of the owner's role under the migrators' lock; rolled back on an error.

    ``foreign_keys`` are SQLite's: a batch rebuild of a table would cascade its deletion to
    the children.
    """
    engine = create_engine(settings.migration_database_url or settings.database, poolclass=NullPool)
    if engine.dialect.name == "sqlite":
        _prepare_sqlite(engine, "ON" if foreign_keys else "OFF")
    try:
        with engine.connect() as connection, connection.begin():
            if connection.dialect.name == "postgresql":
                connection.execute(text("SET LOCAL lock_timeout = '10s'"))
                connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
            yield connection
    finally:
        engine.dispose()


def _prepare_sqlite(engine: Any, foreign_keys: str) -> None:
    @event.listens_for(engine, "connect")
    def _connect(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # transactions begin as said below
        connection.execute(f"PRAGMA foreign_keys={foreign_keys}")
        connection.execute("PRAGMA busy_timeout=60000")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
