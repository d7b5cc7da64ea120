"""A deployment with a past: everything is on, and has been used as people use it."""

from __future__ import annotations

import importlib.util
import os
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask import Flask
from journey import Journey
from program import ROOT
from sqlalchemy import NullPool, create_engine, inspect, text
from treenail import migrate, purge
from treenail.app import create_app
from treenail.db import db
from treenail.deliveries import drain
from treenail.registry import FIRST_PARTY, Registry, discover
from treenail.testing import LiveServer
from treenail.testing.injected import Injected

SECRETS = {
    "TREENAIL_SECRET_KEY": "the same secret in every copy of the past",
    "TREENAIL_ENCRYPTION_KEYS": f"past:{'A' * 43}=",
}
CHEAP = {"TREENAIL_AUTH_BCRYPT_ROUNDS": "4", "TREENAIL_RATE_LIMITS": "off"}
REQUIRES = {name: set(discover()[name].load().requires) for name in FIRST_PARTY}


def demo() -> Any:
    """``examples/demo.py``, which is no package's."""
    spec = importlib.util.spec_from_file_location("demo", ROOT / "examples" / "demo.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def standing_on(plugin: str) -> list[str]:
    """The plugin and all that can't be without it, whoever needs nobody first."""
    above = [name for name in reversed(FIRST_PARTY) if plugin in REQUIRES[name]]
    found = [found for name in above for found in standing_on(name)]
    return [*dict.fromkeys(found), plugin]


def without(plugin: str) -> tuple[str, ...]:
    """Every plugin that gets on without this one."""
    return tuple(name for name in FIRST_PARTY if name not in standing_on(plugin))


def furnish(settings: Mapping[str, str]) -> None:
    """Fill an empty database over the real API: the demonstration, and what it leaves out."""
    with tempfile.TemporaryDirectory() as folder:
        everything = {"TREENAIL_DATA": folder, "TREENAIL_LOG_LEVEL": "WARNING"}
        with LiveServer({**everything, **SECRETS, **CHEAP, **settings}) as server:
            example = demo()
            for tenant, people in example.TENANTS.items():
                example.furnish(server, tenant, people)
            _use(Journey(server))
    if data := settings.get("TREENAIL_DATA"):
        with sqlite3.connect(Path(data) / "treenail.db") as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # the file alone is copied
        connection.close()


def _use(journey: Journey) -> None:
    """Something in every table."""
    call, document = journey.ann.call, journey.document()
    bob = journey.member()
    journey.share(document, bob, "editor")
    journey.invite("eve@example.com")
    held = ["document:read", "tenant:read"]
    call("POST", "/roles", {"name": "Reviewer", "permissions": held}, 201)
    held = ["document:read"]
    role = {"name": "Proofreader", "permissions": held, "resourceType": "document"}
    call("POST", "/roles", role, 201)
    link = call("POST", f"/documents/{document}/links", {"role": "viewer"}, 201)
    journey.member("guest").call("POST", "/links/" + link["url"].rpartition("/")[2], {}, 200)
    template = {"name": "Kanban", "kind": "board", "content": {"objects": {}}}
    call("POST", f"/workspaces/{journey.workspace}/templates", template, 201)
    hook = {"url": "https://hooks.invalid/", "events": ["document.*"]}
    hook = call("POST", "/webhooks/endpoints", hook, 201)
    call("POST", f"/webhooks/endpoints/{hook['id']}/test", {}, 202)
    call("POST", f"/tenants/{journey.tenant}/activate", {}, 200)
    call("POST", "/me/totp", {}, 200)


def purge_with_dependents(settings: Mapping[str, str], plugin: str) -> list[purge.Plan]:
    """Switch a plugin off with those that require it, and purge them."""
    with opened(settings, without(plugin)) as registry:
        return [purge.purge(registry, name) for name in standing_on(plugin)]


@contextmanager
def opened(settings: Mapping[str, str], plugins: tuple[str, ...]) -> Iterator[Registry]:
    """The deployment for a while; no connection is left open, so that it can be copied."""
    app = build(settings, plugins)
    with app.app_context():
        yield app.extensions["treenail"].registry
        db.engine.dispose()


def build(settings: Mapping[str, str], plugins: tuple[str, ...]) -> Flask:
    """The deployment with only these plugins and the kit's, brought up to date."""
    chosen = {"TREENAIL_PLUGINS": ",".join((*plugins, "injected"))}
    app = create_app({**settings, **chosen}, {"injected": Injected}, check_database=False)
    with app.app_context():
        migrate.upgrade(app.extensions["treenail"].registry)
        db.engine.dispose()
    return app


def rows(settings: Mapping[str, str], *prefixes: str) -> dict[str, int]:
    """How much is in the tables whose names begin so."""
    default = f"sqlite:///{settings.get('TREENAIL_DATA')}/treenail.db"
    url = settings.get("TREENAIL_MIGRATION_DATABASE_URL", default)
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL app.migrating = on")  # all tenants' rows
        names = [
            name for name in inspect(connection).get_table_names() if name.startswith(prefixes)
        ]
        count = "SELECT count(*) FROM {}"
        found = {name: connection.scalar(text(count.format(name))) or 0 for name in names}
    engine.dispose()
    return found


def purged_of_one(settings: Mapping[str, str]) -> None:
    """A past for other suites: filled, then ``TREENAIL_TEST_PURGED`` and its dependents purged."""
    furnish(settings)
    with tempfile.TemporaryDirectory() as folder:
        own = {"TREENAIL_DATA": folder, **SECRETS, **settings}
        with opened(own, FIRST_PARTY):
            drain()
        purge_with_dependents(own, os.environ["TREENAIL_TEST_PURGED"])
