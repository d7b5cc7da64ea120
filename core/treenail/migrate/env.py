"""Alembic's environment, one for all plugins: which of them is in ``config.attributes``."""

from typing import Any

from alembic import context
from flask import current_app

from treenail import platform
from treenail.db import Model
from treenail.migrate import VERSION_TABLE, rls
from treenail.migrate.owner import owning

PLUGIN = context.config.attributes["plugin"]


def owns(table: str) -> bool:
    """Whether a table is this plugin's; the longest plugin name that fits owns it."""
    registry = platform.current().registry
    known = registry.installed.keys() | registry.plugins.keys()
    owners = [plugin for plugin in known if table.startswith(f"{plugin}_")]
    return bool(owners) and max(owners, key=len) == PLUGIN


def is_own(item: Any, name: str | None, kind: str, reflected: bool, compared: Any) -> bool:
    """Only this plugin's tables."""
    return kind != "table" or name is None or owns(name)


def run() -> None:
    """Migrate in one transaction per plugin, on a connection of its own.

    The tables' row-level security is put up in that transaction, so that no tenant-owned
    table is ever there without.
    """
    settings = current_app.extensions["treenail"].settings
    with owning(settings) as connection:
        context.configure(
            connection=connection,
            target_metadata=Model.metadata,
            version_table=f"{VERSION_TABLE}{PLUGIN}",
            include_object=is_own,
            transactional_ddl=True,
            render_as_batch=connection.dialect.name == "sqlite",
        )
        with context.begin_transaction():
            context.run_migrations()
        rls.put_up(connection, settings, owns)


run()
