"""Alembic's environment, one for all plugins: which of them is in ``config.attributes``."""

from typing import Any

from alembic import context
from flask import current_app

from treenail import migrate, platform
from treenail.db import Model
from treenail.migrate import owner

PLUGIN: str = context.config.attributes["plugin"]
VERSION_TABLE = f"{migrate.VERSION_TABLE}{PLUGIN}"


def is_own(item: Any, name: str | None, kind: str, reflected: bool, compared: Any) -> bool:
    """Only this plugin's tables."""
    if kind != "table" or name is None:
        return True
    registry = platform.current().registry
    known = registry.installed.keys() | registry.plugins.keys()
    return migrate.owner_of(name, known) == PLUGIN


def run() -> None:
    """Migrate in one transaction per plugin, on a connection of its own."""
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


run()
