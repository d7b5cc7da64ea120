"""Putting up wall 4, and looking whether it stands: policies on every tenant-owned table.

They are made from the models after each plugin's revisions, in the same transaction; a
plugin's author writes nothing. A table has three, all permissive:

``treenail_tenant``
    the rows whose tenant the transaction has said (`treenail.db.rls`), for everybody;
``treenail_system``
    all rows, for the role that the app becomes for a transaction across tenants;
``treenail_migration``
    all rows, for the owner while it migrates: FORCE binds it too, and a revision that
    changes rows would find none.

What has them: models marked ``Tenanted``, and of the global ones those with a
``__tenant_column__``: a tenant itself (by its ``id``) and the outbox, whose rows hold what
happened in a tenant. People (``core_users``), their sessions and credentials belong to no
tenant and are looked up across all; activations and deliveries tell of a tenant no more than
its id.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import structlog
from sqlalchemy import Connection, Engine, text

from treenail.db.base import walled_tables
from treenail.db.rls import system_role
from treenail.errors import ConfigurationError
from treenail.migrate import VERSION_TABLE
from treenail.migrate import roles as role_names
from treenail.migrate.roles import Roles, quoted
from treenail.settings import CoreSettings

# As PostgreSQL writes them, so that what stands can be compared with what should.
# ``app.tenant`` is empty, not null, on a connection whose last transaction was a tenant's.
TENANT = "({column} = (NULLIF(current_setting('app.tenant'::text, true), ''::text))::uuid)"
# What no tenant may read it may write, as news of itself for when it is gone.
WRITES = "({reads} OR ({column} IS NULL))"
MIGRATING = "(current_setting('app.migrating'::text, true) = 'on'::text)"
OURS = ("treenail_tenant", "treenail_system", "treenail_migration")
RIGHTS = "SELECT, INSERT, UPDATE, DELETE"
ADVICE = "run treenail db upgrade with the owner's TREENAIL_MIGRATION_DATABASE_URL"
log = structlog.get_logger("treenail.migrate")

TABLES = """
    SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity AS forced,
           pg_get_userbyid(c.relowner) AS owner, pg_has_role(c.relowner, 'MEMBER') AS owned
    FROM pg_class c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
    AND NOT c.relispartition"""
LACKING = """
    SELECT c.relname, c.relkind, r.role
    FROM pg_class c, unnest(CAST(:roles AS name[])) AS r (role)
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'S')
    AND NOT c.relispartition AND NOT (has_table_privilege(r.role, c.oid, 'SELECT') AND (
        c.relkind = 'S' OR starts_with(c.relname, :versions) OR (
            has_table_privilege(r.role, c.oid, 'INSERT')
            AND has_table_privilege(r.role, c.oid, 'UPDATE')
            AND has_table_privilege(r.role, c.oid, 'DELETE'))))"""
PASSING_BY = """
    SELECT rolname FROM pg_roles WHERE (rolsuper OR rolbypassrls) AND pg_has_role(oid, 'MEMBER')
    LIMIT 1"""
MAY_BECOME = """
    SELECT pg_has_role(oid, 'MEMBER') AS member, pg_has_role(oid, 'USAGE') AS inherits
    FROM pg_roles WHERE rolname = :name"""
POLICIES = """
    SELECT tablename, policyname, roles::text[] AS roles, cmd, qual, with_check,
           EXISTS (SELECT FROM unnest(roles) AS r (name) WHERE CASE r.name WHEN 'public' THEN true
                   ELSE pg_has_role(r.name, 'MEMBER') END) AS concerns
    FROM pg_policies WHERE schemaname = current_schema() AND permissive = 'PERMISSIVE'"""

Policy = tuple[list[str], str, str]
"""The roles a policy is for, and its conditions on rows that are read and written."""


def put_up(connection: Connection, settings: CoreSettings, owns: Callable[[str], bool]) -> None:
    """Give the tables of a plugin their policies, and the app its rights on them.

    As the owner; changes only what isn't as it should be, because each change locks its
    table. Tables of revisions the app may only read. Does nothing on SQLite.
    """
    if connection.dialect.name != "postgresql":
        return
    roles = role_names.ensure(connection, settings)
    if roles is None:
        return
    standing = _policies(connection)
    _grant(connection, roles, owns)
    for table in connection.execute(text(TABLES)).all():
        if owns(table.relname) and (column := walled_tables.get(table.relname)):
            wanted = _wanted(column, roles.system, table.owner)
            _wall(connection, table, wanted, standing.get(table.relname, {}))


def check(engine: Engine, settings: CoreSettings) -> None:
    """Refuse, in production, a role or a table without row-level security; warn elsewhere.

    Raises `ConfigurationError`.
    """
    if engine.dialect.name != "postgresql":
        return
    with engine.connect() as connection:
        problem = next(problems(connection), None)
    if problem and settings.env == "production":
        raise ConfigurationError(f"tenants are not kept apart by the database: {problem}")
    if problem:
        log.warning("no_row_level_security", reason=problem)


def problems(connection: Connection) -> Iterator[str]:
    """What keeps row-level security from acting on this connection's role, a line each."""
    role = connection.scalar(text("SELECT session_user")) or ""
    yield from _role_problems(connection, role)
    tables = [row for row in connection.execute(text(TABLES)) if row.relname in walled_tables]
    for table in tables:
        if table.owned:
            yield f"the role {role} of TREENAIL_DATABASE_URL owns the table {table.relname}"
            break  # of all of them, as a rule
    standing = _policies(connection)
    for table in tables:
        found = standing.get(table.relname, {})
        wanted = _wanted(walled_tables[table.relname], system_role(role), table.owner)
        if not table.forced or {n: found.get(n) for n in wanted} != wanted:
            yield f"the table {table.relname} lacks its row-level security: {ADVICE}"
        for name in sorted(found.keys() - wanted.keys()):
            yield f"the policy {name} opens the table {table.relname} to the role {role}"


def _role_problems(connection: Connection, role: str) -> Iterator[str]:
    if above := connection.scalar(text(PASSING_BY)):
        how = "is" if above == role else f"may become {above},"
        yield f"the role {role} of TREENAIL_DATABASE_URL {how} a superuser or has BYPASSRLS"
        return  # and so may become any other
    system = system_role(role)
    found = connection.execute(text(MAY_BECOME), {"name": system}).one_or_none()
    if found is None or not found.member:
        yield f"the role {role} may not become {system}: {ADVICE}"
    elif found.inherits:
        yield f"the role {role} inherits the rights of {system}: {ADVICE}"


def _wanted(column: str, system: str, owner: str) -> dict[str, Policy]:
    reads = TENANT.format(column=column)
    return {
        OURS[0]: (["public"], reads, WRITES.format(reads=reads, column=column)),
        OURS[1]: ([system], "true", "true"),
        OURS[2]: ([owner], MIGRATING, MIGRATING),
    }


def _policies(connection: Connection) -> Mapping[str, Mapping[str, Any]]:
    """Policies by table and name: ours, and those that give the present role more.

    Restrictive ones only ever take away. One of another form than `Policy` has no condition
    here: nothing wanted equals it.
    """
    found: dict[str, dict[str, Any]] = {}
    for row in connection.execute(text(POLICIES)):
        if row.concerns or row.policyname in OURS:
            policy = (row.roles, row.qual if row.cmd == "ALL" else None, row.with_check)
            found.setdefault(row.tablename, {})[row.policyname] = policy
    return found


def _wall(
    connection: Connection, table: Any, wanted: Mapping[str, Policy], found: Mapping[str, Any]
) -> None:
    name = quoted(table.relname)
    for policy, (roles, reads, writes) in wanted.items():
        if found.get(policy) != (roles, reads, writes):
            to = "PUBLIC" if roles == ["public"] else ", ".join(map(quoted, roles))
            connection.exec_driver_sql(f"DROP POLICY IF EXISTS {policy} ON {name}")
            connection.exec_driver_sql(
                f"CREATE POLICY {policy} ON {name} TO {to} USING ({reads}) WITH CHECK ({writes})"
            )
    if not table.forced:
        connection.exec_driver_sql(
            f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY"
        )


def _grant(connection: Connection, roles: Roles, owns: Callable[[str], bool]) -> None:
    names = {"roles": [roles.app, roles.system], "versions": VERSION_TABLE}
    for relation in connection.execute(text(LACKING), names).all():
        if owns(relation.relname):
            rights = "USAGE, SELECT" if relation.relkind == "S" else RIGHTS
        elif relation.relname.startswith(VERSION_TABLE):
            rights = "SELECT"
        else:
            continue
        kind = "SEQUENCE" if relation.relkind == "S" else "TABLE"
        to, on = quoted(relation.role), quoted(relation.relname)
        connection.exec_driver_sql(f"GRANT {rights} ON {kind} {on} TO {to}")
