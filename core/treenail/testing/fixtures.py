"""The fixtures, as a pytest plugin (entry point ``pytest11``)."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from email import message_from_bytes
from email.policy import SMTP
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, select

from treenail import migrate
from treenail.app import create_app
from treenail.contributions import Event
from treenail.db import db, engines, system_session
from treenail.deliveries import drain
from treenail.events import OutboxEvent
from treenail.ids import uuid7
from treenail.plugin import Plugin
from treenail.testing.callers import Client, TestTenant, make_tenant
from treenail.testing.databases import REQUIRED, PostgreSQL, SQLite, services_answer
from treenail.testing.injected import Injected
from treenail.testing.server import LiveServer


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def backend(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SQLite | PostgreSQL]:
    """The kind of database: tests that use it run on both."""
    if request.param == "sqlite":
        yield SQLite(tmp_path_factory.mktemp("templates"))
        return
    if problem := services_answer():
        (pytest.fail if REQUIRED else pytest.skip)(f"SKIPPED WITHOUT SERVICES: {problem}")
    databases = PostgreSQL(f"treenail_test_{os.getpid()}_{secrets.token_hex(3)}")
    yield databases
    databases.close()


@pytest.fixture(scope="module")
def environ() -> dict[str, str]:
    """Settings of the module's app; override to say more, e.g. ``TREENAIL_PLUGINS``."""
    return {}


@pytest.fixture(scope="module")
def plugins() -> dict[str, type[Plugin]]:
    """Plugins of the module's app that no entry point names; override to add some."""
    return {}


@pytest.fixture(scope="module")
def deployment(
    backend: SQLite | PostgreSQL,
    environ: dict[str, str],
    plugins: dict[str, type[Plugin]],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, str]:
    """Settings of a fresh deployment: its own folder and a migrated database.

    With ``TREENAIL_TEST_PAST=module:function`` the database has a past: the function is
    given its settings before it is migrated.
    """
    data = tmp_path_factory.mktemp("data")
    own = {"TREENAIL_DATA": str(data), "TREENAIL_LOG_LEVEL": "WARNING", **environ}

    def run_migrations(settings: Mapping[str, str]) -> None:
        if past := os.environ.get("TREENAIL_TEST_PAST"):
            resolve_name(past)(settings)
        app = create_app({**own, **settings}, plugins, check_database=False)
        with app.app_context():
            migrate.upgrade(app.extensions["treenail"].registry)
            db.engine.dispose()

    wanted = f"{environ.get('TREENAIL_PLUGINS')} {sorted(map(str, plugins.values()))}"
    return own | backend.copy(data, wanted, run_migrations)


@pytest.fixture(scope="module")
def app(deployment: dict[str, str], plugins: dict[str, type[Plugin]]) -> Iterator[Flask]:
    """An application of the module's own; tests keep apart by making their own tenants."""
    chosen = deployment.get("TREENAIL_PLUGINS")
    extra = {} if chosen is None else {"TREENAIL_PLUGINS": f"{chosen},injected"}
    settings = deployment | extra
    made = create_app(settings, {**plugins, "injected": Injected})
    yield made
    for close in made.extensions.get("treenail.closing", ()):
        close()
    with made.app_context():
        db.engine.dispose()


@pytest.fixture
def client(app: Flask) -> Client:
    """Nobody in particular."""
    return Client(app)


@pytest.fixture
def tenant(app: Flask) -> TestTenant:
    """A tenant with an owner."""
    return make_tenant(app)


@pytest.fixture
def other_tenant(app: Flask) -> TestTenant:
    """Another tenant, whose data nobody of the first may see."""
    return make_tenant(app, "Elm Ltd")


@pytest.fixture
def captured_events(app: Flask) -> Callable[[str], list[Event]]:
    """The events of a type committed since the test began."""
    began = uuid7()

    def captured(name: str) -> list[Event]:
        with app.app_context(), system_session("test", read_only=True) as session:
            found = select(OutboxEvent).where(OutboxEvent.type == name, OutboxEvent.id > began)
            return [row.event() for row in session.scalars(found.order_by(OutboxEvent.id))]

    return captured


@pytest.fixture
def run_tasks(app: Flask) -> Callable[[], int]:
    """Deliver all that is due, now; returns the number of tries."""

    def run() -> int:
        with app.app_context():
            return drain()

    return run


@pytest.fixture
def mailbox(app: Flask, run_tasks: Callable[[], int]) -> Callable[[str], list[str]]:
    """The texts of the messages sent to an address, oldest first (not their HTML)."""

    def read(address: str) -> list[str]:
        run_tasks()
        folder = Path(app.extensions["treenail"].settings.data_dir) / "mail"
        paths = sorted(folder.glob("*.eml"))
        found = [message_from_bytes(path.read_bytes(), policy=SMTP) for path in paths]
        bodies = [m.get_body(("plain",)) for m in found if m["To"] == address]
        return [body.get_content() for body in bodies if body]

    return read


@pytest.fixture(scope="module")
def server(deployment: dict[str, str]) -> Iterator[LiveServer]:
    """The module's deployment, really served: a process of its own on a free port."""
    with LiveServer(deployment) as running:
        yield running


@pytest.fixture
def count_queries(app: Flask) -> Callable[[], AbstractContextManager[list[str]]]:
    """A block whose statements are collected: a list endpoint has a constant number."""

    @contextmanager
    def counting() -> Iterator[list[str]]:
        statements: list[str] = []

        def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
            statements.append(statement)

        with app.app_context():
            watched = engines.all_of(db.engine)
        for engine in watched:
            event.listen(engine, "before_cursor_execute", note)
        try:
            yield statements
        finally:
            for engine in watched:
                event.remove(engine, "before_cursor_execute", note)

    return counting
