"""Engines: how connections of each database are set up, and how transactions begin."""

import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import orjson
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url

from treenail.settings import CoreSettings

BUSY_SECONDS = 30
_readers: "WeakKeyDictionary[Engine, Engine]" = WeakKeyDictionary()


class NestedWrite(Exception):
    """A programming error: a second writing transaction while the thread holds one."""


def configuration(settings: CoreSettings) -> dict[str, Any]:
    """Flask-SQLAlchemy's configuration for the database the settings name."""
    url = make_url(settings.database)
    if url.get_backend_name() == "sqlite" and url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    return {"SQLALCHEMY_DATABASE_URI": url, "SQLALCHEMY_ENGINE_OPTIONS": _options(url)}


def _options(url: URL) -> dict[str, Any]:
    options: dict[str, Any] = {"pool_size": 32, "max_overflow": 32}
    options["pool_use_lifo"] = True  # the connection whose cache is warm
    options["json_deserializer"] = orjson.loads
    options["hide_parameters"] = True  # an error's text, which is logged, would hold them
    if url.get_backend_name() == "sqlite":
        options["connect_args"] = {"timeout": BUSY_SECONDS}
    else:
        # Prepared statements break behind transaction-pooling proxies.
        options |= {"pool_pre_ping": True, "connect_args": {"prepare_threshold": None}}
    return options


def prepare(engine: Engine, settings: CoreSettings) -> None:
    """Set up an engine's connections; PostgreSQL's defaults are right already."""
    if engine.dialect.name != "sqlite":
        return
    twin = create_engine(engine.url, **_options(engine.url))
    _readers[engine] = twin
    event.listen(engine, "engine_disposed", lambda _: twin.dispose())
    for each, more in ((engine, ()), (twin, ("query_only=ON",))):
        _open_with(each, (*_pragmas(settings), *more))
    _begin_at_once(engine)
    event.listen(twin, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))


def _pragmas(settings: CoreSettings) -> tuple[str, ...]:
    synchronous = f"synchronous={settings.sqlite_synchronous}"
    return ("journal_mode=WAL", synchronous, "foreign_keys=ON", "recursive_triggers=ON")


def _open_with(engine: Engine, pragmas: Sequence[str]) -> None:
    @event.listens_for(engine, "connect")
    def _connect(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # transactions begin as the "begin" event says
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")


def _begin_at_once(engine: Engine) -> None:
    """Let writing transactions take SQLite's lock when they begin, one of this process's at a time.

    A deferred one that reads first can't become a writer when another one wrote meanwhile
    (measured: 13,497 errors in 3 s); an immediate one waits its turn. SQLite's own waiting is
    to sleep ever longer and look again, so that of 8 threads some waited for 3 s: within the
    process a lock of ours is waited for instead.
    """
    turn = _Turn()
    writing = threading.local()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if getattr(writing, "connection", None) is not None:
            raise NestedWrite("this thread writes already; it would wait for itself")
        turn.take(connection.connection.dbapi_connection)
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        writing.connection = connection

    @event.listens_for(engine, "commit")
    @event.listens_for(engine, "rollback")
    def _end(connection: Connection) -> None:
        if getattr(writing, "connection", None) is connection:
            writing.connection = None

    for over in ("reset", "invalidate", "close"):  # "commit" comes before it is done
        event.listen(engine, over, lambda connection, *_: turn.give_up(connection))


class _Turn:
    """Which connection of the process writes; it keeps its turn until it is back in the pool."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holder: Any = None

    def take(self, connection: Any) -> None:
        """Wait for one's turn; after the time SQLite would wait, leave it to SQLite."""
        if self._holder is not connection and self._lock.acquire(timeout=BUSY_SECONDS):
            self._holder = connection

    def give_up(self, connection: Any) -> None:
        """Let the next one write, if it was this one's turn."""
        if connection is not None and self._holder is connection:
            self._holder = None
            self._lock.release()


def reading(engine: Engine) -> Engine:
    """The same database, for transactions that can only read.

    On SQLite an engine with connections of its own: to make one read-only and writable again
    takes as long as to read a row.
    """
    return _readers.get(engine) or _read_only(engine)


def all_of(engine: Engine) -> set[Engine]:
    """The engine, and the one its reading side has of its own."""
    return {engine, _readers.get(engine, engine)}


@lru_cache(maxsize=16)
def _read_only(engine: Engine) -> Engine:
    return engine.execution_options(postgresql_readonly=True)
