"""The owner's transactions: tables are made and changed in these, never by the app's role."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, NullPool, create_engine, event, text

from treenail.settings import CoreSettings

LOCK = 0x7472656E  # "tren": one migrator at a time


@contextmanager
def transaction(settings: CoreSettings, *, foreign_keys: bool = True) -> Iterator[Connection]:
    """A transaction of the owner's, one at a time: committed at the end, rolled back on an error.

    It sees the rows of all tenants, for what changes all that is there. ``foreign_keys`` are
    SQLite's: a batch rebuild of a table would cascade its deletion to the children.
    """
    url = settings.migration_database_url or settings.database
    engine = create_engine(url, poolclass=NullPool, hide_parameters=True)
    if engine.dialect.name == "sqlite":
        _prepare_sqlite(engine, "ON" if foreign_keys else "OFF")
    try:
        with engine.connect() as connection, connection.begin():
            if connection.dialect.name == "postgresql":
                connection.execute(text("SET LOCAL lock_timeout = '10s'"))
                connection.execute(text("SET LOCAL app.migrating = 'on'"))
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
