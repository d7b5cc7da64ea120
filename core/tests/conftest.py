"""The core alone: no plugin but the kit's, and those a test makes up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from treenail import migrate
from treenail.app import create_app
from treenail.db import db
from treenail.plugin import Plugin
from treenail.testing.databases import SQLite
from treenail.testing.injected import Injected

Build = Callable[..., Flask]


@pytest.fixture(scope="module")
def environ() -> dict[str, str]:
    """No plugins."""
    return {"TREENAIL_PLUGINS": ""}


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> SQLite:
    """A migrated database of the core alone, to copy."""
    return SQLite(tmp_path_factory.mktemp("template"))


@pytest.fixture
def build(tmp_path: Path, template: SQLite) -> Iterator[Build]:
    """Make an app on SQLite with these plugins, for what no database changes."""
    made: list[Flask] = []

    def run_migrations(settings: dict[str, str]) -> None:
        app = create_app({**settings, "TREENAIL_PLUGINS": ""}, check_database=False)
        with app.app_context():
            migrate.upgrade(app.extensions["treenail"].registry)
            db.engine.dispose()

    def make(*plugins: type[Plugin], check_database: bool = True, **settings: str) -> Flask:
        if not (tmp_path / "treenail.db").exists():
            template.copy(tmp_path, "core", run_migrations)
        classes = {cls.name: cls for cls in (Injected, *plugins)}
        environ = {
            "TREENAIL_DATA": str(tmp_path),
            "TREENAIL_LOG_LEVEL": "ERROR",
            "TREENAIL_PLUGINS": ",".join(classes),
            **{f"TREENAIL_{key.upper()}": value for key, value in settings.items()},
        }
        made.append(create_app(environ, classes, check_database=check_database))
        return made[-1]

    yield make
    for app in made:
        with app.app_context():
            db.engine.dispose()
