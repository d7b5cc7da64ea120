"""Alembic's environment, one for all plugins: which of them is in ``config.attributes``."""

from typing import Any

from alembic import context
from flask import current_app

from treenail import migrate, platform
from treenail.db import Model
from treenail.migrate import owner, rls

PLUGIN: str = context.config.attributes["plugin"]
VERSION_TABLE = f"{migrate.VERSION_TABLE}{PLUGIN}"


def owns(table: str) -> bool:
    """Whether a table is this plugin's."""
    registry = platform.current().registry
    known = registry.installed.keys() | registry.plugins.keys()
    return migrate.owner_of(table, known) == PLUGIN


def is_own(item: Any, name: str | None, kind: str, reflected: bool, compared: Any) -> bool:
    """Only this plugin's tables."""
    return kind != "table" or name is None or owns(name)


def run() -> None:
    """Migrate in one transaction per plugin, on a connection of its own.

    The tables' row-level security is put up in that transaction, so that no tenant-owned
    table is ever there without.
    """
    settings = current_app.extensions["treenail"].settings
    with owner.transaction(settings, foreign_keys=False) as connection:
        context.configure(
            connection=connection,
            target_metadata=Model.metadata,
            version_table=VERSION_TABLE,
            include_object=is_own,
            transactional_ddl=True,
            render_as_batch=connection.dialect.name == "sqlite",
        )
        with context.begin_transaction():
            context.run_migrations()
        rls.put_up(connection, settings, owns)


run()
