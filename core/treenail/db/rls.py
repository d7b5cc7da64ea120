"""Wall 4: on PostgreSQL the database gives a transaction the rows of its tenant alone.

Every transaction says at its beginning whose it is: a tenant's (``app.tenant``, for this
transaction) or the system's (a second role, for this transaction). Policies on every
tenant-owned table, put up by `treenail.migrate.rls`, compare. A transaction that says nothing
sees nothing, so a connection taken past the sessions fails closed; and because both are said
``LOCAL``, whoever gets the connection from the pool next inherits neither.

What it does not stop: SQL text of an attacker's own, run inside a tenant's transaction, can
say ``SET LOCAL`` again. Against that stands the guard (wall 2), which lets no text through.
What the guard can't see (a function that runs text, a connection taken from the session's
insides) is stopped here, unless the text itself says otherwise.

On SQLite there is no such wall; `begin` and `transaction` only begin.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import Any
from uuid import UUID

import psycopg
from psycopg.pq import ExecStatus, TransactionStatus
from sqlalchemy import Connection, Engine, PoolProxiedConnection
from sqlalchemy.exc import DBAPIError

from treenail.db.engines import reading
from treenail.db.guard import TenancyError

DONE = (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK, ExecStatus.EMPTY_QUERY)
ROLE, BOUND = "treenail_system_role", "treenail_bound"
SYSTEM_SUFFIX = "_system"
LONGEST_ROLE = 63 - len(SYSTEM_SUFFIX)
_FIND_SYSTEM_ROLE = """
    SELECT quote_ident(rolname) FROM pg_roles
    WHERE rolname = left(session_user, 56) || '_system' AND pg_has_role(oid, 'MEMBER')"""


class System(Enum):
    """Whose a transaction is that spans tenants."""

    SYSTEM = "system"


SYSTEM = System.SYSTEM
Whose = str | System
"""A tenant's id, or `SYSTEM`."""


def system_role(role: str) -> str:
    """The role that the app's login role becomes for a transaction of the system's."""
    return role[:LONGEST_ROLE] + SYSTEM_SUFFIX


@contextmanager
def transaction(engine: Engine, whose: Whose, *, read_only: bool = False) -> Iterator[Connection]:
    """A transaction without a session, for whoever speaks Core: committed at the end."""
    with (reading(engine) if read_only else engine).begin() as connection:
        bind(connection, whose)
        yield connection


def begin(connection: PoolProxiedConnection, whose: Whose, *, read_only: bool = False) -> None:
    """Begin a transaction on a connection of the driver's, as ``engine.raw_connection`` gives it.

    Beginning and saying whose it is are one message, so that it takes no longer than
    beginning alone. Raises the driver's errors, and `TenancyError` for what is no id.
    """
    driver: Any = connection.driver_connection
    if not isinstance(driver, psycopg.Connection):
        driver.execute("BEGIN" if read_only else "BEGIN IMMEDIATE")
        return
    _send(driver, f"BEGIN{' READ ONLY' if read_only else ''}; {_said(connection, whose)}")


def read_as(connection: PoolProxiedConnection, whose: Whose) -> None:
    """Have a driver's connection in a reading transaction that is whose it should be.

    For who reads as the system and then as a tenant on one connection: one message ends the
    transaction before and begins this one; none is sent where it is this one's already. On
    SQLite does nothing.
    """
    driver: Any = connection.driver_connection
    if not isinstance(driver, psycopg.Connection):
        return
    begun = driver.pgconn.transaction_status != TransactionStatus.IDLE
    if not begun or connection.info.get(BOUND) != whose:
        end = "ROLLBACK; " if begun else ""
        _send(driver, f"{end}BEGIN READ ONLY; {_said(connection, whose)}")


def bind(connection: Connection, whose: Whose, settings: Sequence[str] = ()) -> None:
    """Say whose the transaction is that SQLAlchemy has just begun; raises its errors.

    With ``settings`` of PostgreSQL's for this transaction: ``synchronous_commit = off``.
    """
    pooled = connection.connection
    driver = pooled.driver_connection
    if not isinstance(driver, psycopg.Connection):
        return
    try:
        said = _said(pooled, whose)
        # The driver would send its BEGIN with the first statement: as a message of its own.
        if driver.pgconn.transaction_status == TransactionStatus.IDLE:
            said = f"BEGIN{' READ ONLY' if driver.read_only else ''}; {said}"
        _send(driver, "; SET LOCAL ".join((said, *settings)))
    except psycopg.Error as error:
        connection.invalidate(error)
        raise DBAPIError.instance(
            None, None, error, psycopg.Error, hide_parameters=True, dialect=connection.dialect
        ) from error


def _said(connection: PoolProxiedConnection, whose: Whose) -> str:
    """The statement that says it; on the connection is noted what it will be bound to."""
    if isinstance(whose, System):
        if ROLE not in connection.info:
            connection.info[ROLE] = _find_system_role(connection)
        role = connection.info[ROLE]
        said = f"SET LOCAL ROLE {role}" if role else ""
    else:
        try:
            said = f"SET LOCAL app.tenant = '{UUID(whose)}'"
        except ValueError:
            raise TenancyError("what a transaction is bound to is no tenant's id") from None
    connection.info[BOUND] = whose
    return said


def _find_system_role(connection: PoolProxiedConnection) -> str | None:
    """None in development with one role for all that may not make others: nothing is walled."""
    driver: Any = connection.driver_connection
    found = _send(driver, _FIND_SYSTEM_ROLE).get_value(0, 0)
    return found.decode() if found else None


def _send(driver: "psycopg.Connection[Any]", statements: str) -> Any:
    """Run statements as one message (the simple query protocol), past the driver's own BEGIN."""
    result = driver.pgconn.exec_(statements.encode())
    if result.status not in DONE:
        raise psycopg.errors.error_from_result(result)
    return result
