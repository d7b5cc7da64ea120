"""Databases for tests: migrated once per set of plugins, then copied."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from flask import Flask
from psycopg import sql
from sqlalchemy.engine import make_url

from treenail.db import Model
from treenail.db.rls import system_role
from treenail.migrate import owner, rls

REQUIRED = os.environ.get("TREENAIL_TEST_SERVICES") == "1"
POSTGRES = os.environ.get("TREENAIL_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/postgres")
MAY_MAKE_ROLES = """
    SELECT rolsuper OR (rolcreaterole AND rolcreatedb) FROM pg_roles WHERE rolname = current_user"""
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
    """Databases of one test process; a copy is made by the server.

    Their owner and the app's role are the process's own, and neither is a superuser: the
    tests run behind the same row-level security as a deployment.
    """

    prefix: str
    made: list[str] = field(default_factory=list)
    password: str = field(default_factory=lambda: secrets.token_urlsafe(16))

    def __post_init__(self) -> None:
        self.owner, self.app = f"{self.prefix}_owner", f"{self.prefix}_app"
        self.system = system_role(self.app)
        login = f"LOGIN PASSWORD {sql.Literal(self.password).as_string(None)}"
        _run(f"CREATE ROLE {self.owner} {login}; GRANT {self.owner} TO CURRENT_USER")
        # The owner may not make roles: that they are there already is enough.
        _run(f"CREATE ROLE {self.app} NOINHERIT {login}; CREATE ROLE {self.system}")
        _run(f"GRANT {self.system} TO {self.app}")

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
        for name in self.made:
            _run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        _run(f"DROP ROLE {self.app}, {self.system}, {self.owner}")

    def _create(self, name: str, template: str = "template1") -> None:
        _run(f"CREATE DATABASE {name} TEMPLATE {template} OWNER {self.owner}")
        self.made.append(name)

    def _environ(self, name: str) -> dict[str, str]:
        url = make_url(POSTGRES).set(drivername="postgresql+psycopg", database=name)
        urls = {
            key: url.set(username=role, password=self.password).render_as_string(False)
            for key, role in (("", self.app), ("MIGRATION_", self.owner))
        }
        return {
            "TREENAIL_REDIS_URL": REDIS,
            **{f"TREENAIL_{key}DATABASE_URL": url for key, url in urls.items()},
        }


def _run(statement: str) -> None:
    with psycopg.connect(POSTGRES, autocommit=True) as connection:
        connection.execute(statement)


def make_tables(app: Flask, *models: type[Any]) -> None:
    """The tables of a test's own models, made by the owner and with what a migration gives."""
    settings = app.extensions["treenail"].settings
    names = {model.__tablename__ for model in models}
    with owner.transaction(settings) as connection:
        Model.metadata.create_all(connection, [model.__table__ for model in models])
        rls.put_up(connection, settings, names.__contains__)


def services_answer() -> str | None:
    """None when PostgreSQL and Redis are there, else what is wrong."""
    import redis

    try:
        with psycopg.connect(POSTGRES, connect_timeout=3) as connection:
            found = connection.execute(MAY_MAKE_ROLES).fetchone()
        if not found or not found[0]:
            return "TREENAIL_TEST_POSTGRES names a role that may not make roles and databases"
        redis.Redis.from_url(REDIS, socket_timeout=3).ping()
    except (psycopg.Error, redis.RedisError) as error:
        return f"{type(error).__name__}: {error}".strip()
    return None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:10]
