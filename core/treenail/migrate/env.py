"""Alembic's environment, one for all plugins: which of them is in ``config.attributes``."""

from typing import Any

from alembic import context
from flask import current_app
from sqlalchemy import Connection, NullPool, create_engine, event, text

from treenail import platform
from treenail.db import Model

PLUGIN = context.config.attributes["plugin"]
VERSION_TABLE = f"alembic_version_{PLUGIN}"
MIGRATION_LOCK = 0x7472656E  # "tren": one migrator at a time


def is_own(item: Any, name: str | None, kind: str, reflected: bool, compared: Any) -> bool:
    """Only this plugin's tables; the longest plugin name that fits owns a table."""
    if kind != "table" or name is None:
        return True
    registry = platform.current().registry
    known = registry.installed.keys() | registry.plugins.keys()
    owners = [plugin for plugin in known if name.startswith(f"{plugin}_")]
    return bool(owners) and max(owners, key=len) == PLUGIN


def run() -> None:
    """Migrate in one transaction per plugin, on a connection of its own."""
    settings = current_app.extensions["treenail"].settings
    engine = create_engine(settings.migration_database_url or settings.database, poolclass=NullPool)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _sqlite_connect)
        event.listen(engine, "begin", lambda c: c.exec_driver_sql("BEGIN IMMEDIATE"))
    with engine.connect() as connection, connection.begin():
        _lock(connection)
        context.configure(
            connection=connection,
            target_metadata=Model.metadata,
            version_table=VERSION_TABLE,
            include_object=is_own,
            transactional_ddl=True,
            render_as_batch=engine.dialect.name == "sqlite",
        )
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()


def _sqlite_connect(connection: Any, record: Any) -> None:
    connection.isolation_level = None
    # A batch rebuild of a table would cascade its deletion to the children.
    connection.execute("PRAGMA foreign_keys=OFF")
    connection.execute("PRAGMA busy_timeout=60000")


def _lock(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL lock_timeout = '10s'"))
        connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))


run()
