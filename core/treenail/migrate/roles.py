"""The roles of a deployment on PostgreSQL: the owner's, the app's, and the system's.

The owner (``TREENAIL_MIGRATION_DATABASE_URL``) has the tables. The app (``TREENAIL_DATABASE_URL``)
has none, and becomes the third, ``<app>_system``, for the transactions that span tenants: it is
a member of it that inherits nothing, so that it must say so each time.
"""

import getpass
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from psycopg import sql
from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url

from treenail.db.rls import system_role
from treenail.errors import ConfigurationError
from treenail.settings import CoreSettings

INHERIT_FALSE_SINCE = 160_000  # before that it is the member's attribute alone
STATE = """
    SELECT a.oid IS NOT NULL AS app, a.rolinherit AND NOT a.rolsuper AS app_inherits,
           s.oid IS NOT NULL AS system,
           coalesce(pg_has_role(a.oid, s.oid, 'MEMBER'), false) AS member,
           pg_has_role(a.oid, s.oid, 'USAGE') AND NOT a.rolsuper AS member_inherits
    FROM (SELECT) AS always
    LEFT JOIN pg_roles a ON a.rolname = :app LEFT JOIN pg_roles s ON s.rolname = :system"""


@dataclass(frozen=True)
class Roles:
    """The names of a deployment's roles."""

    owner: str
    app: str

    @property
    def system(self) -> str:
        """What the app becomes for a transaction across tenants."""
        return system_role(self.app)


def ensure(connection: Connection, settings: CoreSettings) -> Roles | None:
    """Make the roles that are missing, as the owner; does nothing twice.

    None where one role does everything and may not make another: there is no row-level
    security then, which development bears and production refuses. Raises
    `ConfigurationError` with the SQL to run where an owner apart may not make roles.
    """
    url = make_url(settings.database)
    owner = connection.scalar(text("SELECT current_user")) or ""
    app = url.username or os.environ.get("PGUSER") or getpass.getuser()
    roles = Roles(owner, app)
    wanted = list(_missing(connection, roles, url.password))
    may = "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user"
    if wanted and not connection.scalar(text(may)):
        needed = "; ".join(shown for shown, _ in wanted)
        if app != owner or settings.env == "production":
            raise ConfigurationError(
                f"the role {owner} may not make roles; let one that may run: {needed}"
            )
        return None  # the start says so
    for _, statement in wanted:
        connection.exec_driver_sql(statement)
    return roles


def _missing(
    connection: Connection, roles: Roles, password: str | None
) -> Iterator[tuple[str, str]]:
    """The statements that bring the roles about, each as shown to people and as run."""
    app, system = quoted(roles.app), quoted(roles.system)
    about = connection.execute(text(STATE), {"app": roles.app, "system": roles.system}).one()
    driver: Any = connection.connection.driver_connection
    newer = driver.info.server_version >= INHERIT_FALSE_SINCE
    if not about.app:
        statement = f"CREATE ROLE {app} LOGIN NOINHERIT"
        yield f"{statement} PASSWORD '…'", statement + _password(driver, roles.app, password)
    elif not newer and about.app_inherits:
        yield (f"ALTER ROLE {app} NOINHERIT",) * 2
    if not about.system:
        yield (f"CREATE ROLE {system} NOLOGIN",) * 2
    if not about.member or (newer and about.member_inherits):
        yield (f"GRANT {system} TO {app}{' WITH INHERIT FALSE' if newer else ''}",) * 2


def _password(driver: Any, role: str, password: str | None) -> str:
    """As a verifier (SCRAM): the password itself would stand in the server's log."""
    if not password:
        return ""
    made = driver.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
    return f" PASSWORD '{made.decode()}'"


def quoted(name: str) -> str:
    """A name as SQL has it."""
    return sql.Identifier(name).as_string(None)
