"""The owner's transactions: tables are made and changed in these, never by the app's role."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, NullPool, create_engine, event, text

from treenail.settings import CoreSettings

MIGRATION_LOCK = 0x7472656E  # "tren": one migrator at a time


@contextmanager
def owning(settings: CoreSettings) -> Iterator[Connection]:
    """A transaction of the owner's, one at a time: committed at the end.

    It sees the rows of all tenants, for revisions that change what is there.
    """
    url = settings.migration_database_url or settings.database
    engine = create_engine(url, poolclass=NullPool, hide_parameters=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _sqlite_connect)
        event.listen(engine, "begin", lambda c: c.exec_driver_sql("BEGIN IMMEDIATE"))
    try:
        with engine.connect() as connection, connection.begin():
            _lock(connection)
            yield connection
    finally:
        engine.dispose()


def _sqlite_connect(connection: Any, record: Any) -> None:
    connection.isolation_level = None
    # A batch rebuild of a table would cascade its deletion to the children.
    connection.execute("PRAGMA foreign_keys=OFF")
    connection.execute("PRAGMA busy_timeout=60000")


def _lock(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL lock_timeout = '10s'"))
        connection.execute(text("SET LOCAL app.migrating = 'on'"))
        connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
