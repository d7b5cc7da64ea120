"""The reading side by itself: one raw connection a request, for plans.

It is taken when it is first needed and given back when the block ends. Each plan is a
transaction of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import current_app, g
from sqlalchemy import Connection, Engine, PoolProxiedConnection, Select

from treenail.db import guard, rls
from treenail.db.engines import reading
from treenail.db.plans import Plan, Row, watch_of
from treenail.db.rls import Whose

Scope = Callable[[Select[Any]], Select[Any]]


class Reader:
    """A connection that can only read, from when it is needed to the end of a block."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: PoolProxiedConnection | None = None

    def run(self, plan: Plan, scope: Scope, values: dict[str, Any], whose: Whose) -> list[Row]:
        """What the plan finds."""
        if self._connection is None:
            self._connection = self._engine.raw_connection()
        rls.read_as(self._connection, whose)
        return _run(self._engine, self._connection, plan, scope, values)

    def close(self) -> None:
        """Give the connection back; its transaction ends."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def reader() -> Reader:
    """A reader of the present application's database."""
    return Reader(reading(current_app.extensions["sqlalchemy"].engine))


def run(plan: Plan, scope: Scope, values: dict[str, Any], whose: Whose) -> list[Row]:
    """What the plan finds, asked through the request's reader, or one for this alone."""
    if of_request := g.get("reader"):
        return of_request.run(plan, scope, values, whose)  # type: ignore[no-any-return]
    with reader() as found:
        return found.run(plan, scope, values, whose)


def run_on(connection: Connection, plan: Plan, scope: Scope, values: dict[str, Any]) -> list[Row]:
    """What the plan finds, asked within a transaction that is open."""
    return _run(connection.engine, connection.connection, plan, scope, values)


def change_on(connection: Connection, plan: Plan, values: dict[str, Any]) -> int:
    """How many rows an update or a delete has met, across tenants."""
    cursor = connection.connection.cursor()
    try:
        ready = plan.ready(connection.dialect, unscoped)
        return ready.change(cursor, values, watch_of(connection.engine, cursor))
    finally:
        cursor.close()


@dataclass(frozen=True)
class SystemReads:
    """The reading side across tenants, for what has a reason to."""

    reason: str

    def rows(self, plan: Plan, **values: Any) -> list[Row]:
        """What a plan finds."""
        return run(plan, unscoped, values, rls.SYSTEM)


@dataclass(frozen=True)
class TenantReads:
    """The reading side for one tenant: all that a view needs which only runs plans."""

    tenant_id: str

    def rows(self, plan: Plan, **values: Any) -> list[Row]:
        """What a plan finds of the tenant's."""
        values[guard.TENANT] = self.tenant_id
        return run(plan, guard.scoped, values, self.tenant_id)


def unscoped(statement: Select[Any]) -> Select[Any]:
    """The statement as it is."""
    return statement


def _run(
    engine: Engine,
    connection: PoolProxiedConnection,
    plan: Plan,
    scope: Scope,
    values: dict[str, Any],
) -> list[Row]:
    cursor = connection.cursor()
    try:
        return plan.ready(engine.dialect, scope).run(cursor, values, watch_of(engine, cursor))
    finally:
        cursor.close()
