"""Migrations: a line of revisions and a version table per plugin, one upgrade for all.

With one shared Alembic graph, removing one plugin's wheel broke every migration command for
all the others; with a version table each, a plugin comes and goes alone. Order between
plugins is that of their dependencies.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import flask_migrate
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask, g
from flask_migrate import Migrate
from sqlalchemy import Engine, inspect
from sqlalchemy.exc import DBAPIError, OperationalError

from treenail.db.sessions import db
from treenail.errors import ConfigurationError
from treenail.plugin import Plugin
from treenail.registry import Registry

DIRECTORY = str(Path(__file__).parent)
VERSION_TABLE = "alembic_version_"
migrate = Migrate(db=db, directory=DIRECTORY)


@migrate.configure  # type: ignore[untyped-decorator]
def _point_at_plugin(config: Config) -> Config:
    plugin: Plugin = g.migrating
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", str(plugin.migrations()))
    config.attributes["plugin"] = plugin.name
    return config


def upgrade(registry: Registry) -> list[str]:
    """Bring every enabled plugin's tables up to date, in dependency order.

    A plugin whose migration fails is rolled back and dropped from the registry with its
    dependents; the others go on. Returns the names that were upgraded.
    """
    done = []
    for name, plugin in list(registry.plugins.items()):
        if name in registry.plugins and plugin.migrations() is not None:
            g.migrating = plugin
            try:
                # The undecorated function: the public one turns errors into sys.exit.
                flask_migrate.upgrade.__wrapped__(revision="head")
            except Exception as error:  # noqa: BLE001  whatever a stranger's migration raises
                registry.drop(name, "migrate", error)
            else:
                done.append(name)
    return done


def check_scripts(registry: Registry) -> None:
    """Drop every plugin whose revisions can't be read."""
    for name, plugin in list(registry.plugins.items()):
        try:
            head(plugin)
        except Exception as error:  # noqa: BLE001  whatever a stranger's revision raises
            if name in registry.plugins:
                registry.drop(name, "migrate", error)


def check(registry: Registry) -> None:
    """Drop every plugin whose tables are not at its latest revision."""
    try:
        present = present_revisions(db.engine)
    except OperationalError as error:
        raise ConfigurationError(f"the database doesn't answer: {first_line(error)}") from None
    for name, plugin in list(registry.plugins.items()):
        wanted = head(plugin)
        if name in registry.plugins and wanted and present.get(name) != wanted:
            found = present.get(name) or "nothing"
            registry.drop(
                name,
                "migrate",
                f"the database has {found}, this version needs {wanted}: run treenail db upgrade",
            )


def head(plugin: Plugin) -> str | None:
    """The latest revision a plugin ships; None when it has no tables."""
    folder = plugin.migrations()
    if folder is None:
        return None
    return ScriptDirectory(DIRECTORY, version_locations=[str(folder)]).get_current_head()


def owner_of(name: str, plugins: Iterable[str]) -> str | None:
    """Whose table (or function) it is, by its name: the longest plugin name that fits.

    ``sync_extra_rings`` is sync_extra's where there is such a plugin, else sync's.
    """
    if name.startswith(VERSION_TABLE):
        return None
    fitting = [plugin for plugin in plugins if name.startswith(f"{plugin}_")]
    return max(fitting, key=len, default=None)


def present_revisions(engine: Engine) -> dict[str, str]:
    """The revision in the database of every plugin that ever left one."""
    found: dict[str, str] = {}
    with engine.connect() as connection:
        for table in inspect(connection).get_table_names():
            if table.startswith(VERSION_TABLE):
                options: dict[str, Any] = {"version_table": table}
                context = MigrationContext.configure(connection, opts=options)
                name = table.removeprefix(VERSION_TABLE)
                found[name] = context.get_current_revision() or ""
    return {name: revision for name, revision in found.items() if revision}


def first_line(error: DBAPIError) -> str:
    """What the database said, without the statement."""
    return str(error.orig).partition("\n")[0]


def install(app: Flask) -> None:
    """Give an application its migrations."""
    migrate.init_app(app)
