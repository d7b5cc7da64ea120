"""Databases for tests: migrated once per set of plugins, then copied."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

REQUIRED = os.environ.get("TREENAIL_TEST_SERVICES") == "1"
POSTGRES = os.environ.get("TREENAIL_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/postgres")
REDIS = os.environ.get("TREENAIL_TEST_REDIS", "redis://127.0.0.1:6379/0")

Migrate = Callable[[Mapping[str, str]], None]


class SQLite:
    """Files; a copy of the template is a copy of the file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def copy(self, data: Path, plugins: str, migrate: Migrate) -> dict[str, str]:
        """A fresh database in the data folder; returns the settings that name it."""
        template = self.folder / f"{_digest(plugins)}.db"
        if not template.exists():
            source = self.folder / f"source-{_digest(plugins)}"
            source.mkdir()
            migrate({"TREENAIL_DATA": str(source)})
            shutil.copy(source / "treenail.db", template)
        shutil.copy(template, data / "treenail.db")
        return {}

    def close(self) -> None:
        """Nothing; the folder is pytest's."""


@dataclass
class PostgreSQL:
    """Databases of one test process; a copy is made by the server."""

    prefix: str
    made: list[str] = field(default_factory=list)

    def copy(self, data: Path, plugins: str, migrate: Migrate) -> dict[str, str]:
        """A fresh database; returns the settings that name it, and Redis."""
        template = f"{self.prefix}_{_digest(plugins)}"
        if template not in self.made:
            self._create(template)
            migrate(self._environ(template))
        name = f"{self.prefix}_{len(self.made)}"
        self._create(name, template)
        return self._environ(name)

    def close(self) -> None:
        """Drop everything this process made."""
        with psycopg.connect(POSTGRES, autocommit=True) as connection:
            for name in self.made:
                drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
                connection.execute(drop.format(sql.Identifier(name)))

    def _create(self, name: str, template: str = "template1") -> None:
        with psycopg.connect(POSTGRES, autocommit=True) as connection:
            create = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
            connection.execute(create.format(sql.Identifier(name), sql.Identifier(template)))
        self.made.append(name)

    def _environ(self, name: str) -> dict[str, str]:
        url = POSTGRES.replace("postgresql://", "postgresql+psycopg://").rpartition("/")[0]
        return {"TREENAIL_DATABASE_URL": f"{url}/{name}", "TREENAIL_REDIS_URL": REDIS}


def services_answer() -> str | None:
    """None when PostgreSQL and Redis are there, else what is wrong."""
    import redis

    try:
        psycopg.connect(POSTGRES, connect_timeout=3).close()
        redis.Redis.from_url(REDIS, socket_timeout=3).ping()
    except (psycopg.Error, redis.RedisError) as error:
        return f"{type(error).__name__}: {error}".strip()
    return None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:10]
