"""Row-level security (wall 4): what stands, who is refused at the start, what the pool gives."""

import os
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import insert, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, ProgrammingError
from treenail import migrate
from treenail.app import create_app
from treenail.db import db, rls, system_session, tenant_session
from treenail.db.guard import TenancyError
from treenail.errors import ConfigurationError
from treenail.events import OutboxEvent
from treenail.ids import uuid7
from treenail.migrate.owner import transaction
from treenail.models import Membership, Tenant
from treenail.testing import databases
from treenail.testing.databases import PostgreSQL

PASSWORD = "own %'$"
MEMBERSHIPS = "SELECT tenant_id FROM core_memberships"
PRODUCTION = {
    "TREENAIL_ENV": "production",
    "TREENAIL_PLUGINS": "",
    "TREENAIL_SECRET_KEY": "s" * 32,
    "TREENAIL_ENCRYPTION_KEYS": "k1:" + "A" * 43 + "=",
}


@pytest.fixture(scope="session", params=["postgresql"])
def backend(request, tmp_path_factory) -> Iterator[PostgreSQL]:
    """PostgreSQL alone: SQLite has no such wall."""
    if problem := databases.services_answer():
        refuse = pytest.fail if databases.REQUIRED else pytest.skip
        refuse(f"SKIPPED WITHOUT SERVICES: {problem}")
    made = PostgreSQL(f"treenail_test_{os.getpid()}_{secrets.token_hex(3)}")
    yield made
    made.close()


@pytest.fixture(scope="module")
def environ() -> dict[str, str]:
    return PRODUCTION


@pytest.fixture
def two(tenant, other_tenant) -> tuple[str, str]:
    return tenant.id, other_tenant.id


@pytest.fixture
def owner(app) -> Iterator[Any]:
    """The owner's connection; what it does is undone."""
    with transaction(app.extensions["treenail"].settings) as connection:
        yield connection
        connection.get_transaction().rollback()


class Undone(Exception):
    pass


def seen(connection: Any) -> set[str]:
    return set(map(str, connection.scalars(text(MEMBERSHIPS))))


def test_a_transaction_sees_what_it_says_it_is(app, two):
    own, foreign = two
    with app.app_context():
        with rls.transaction(db.engine, own) as connection:
            assert seen(connection) == {own}
        with rls.transaction(db.engine, rls.SYSTEM) as connection:
            assert seen(connection) >= {own, foreign}
        with db.engine.begin() as connection:
            assert seen(connection) == set()


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_whoever_borrows_a_connection_inherits_nothing(app, two, end: str):
    with app.app_context():
        pooled = db.engine.raw_connection()
        for whose in (two[0], rls.SYSTEM):
            rls.begin(pooled, whose)
            assert pooled.execute(MEMBERSHIPS).fetchall()
            getattr(pooled, end)()
            assert pooled.execute(MEMBERSHIPS).fetchall() == []
            pooled.rollback()
        pooled.close()


def test_a_savepoint_that_is_rolled_back_leaves_the_transaction_bound(app, two):
    with app.app_context(), tenant_session(two[0]) as session:
        with pytest.raises(Undone), session.begin_nested():
            raise Undone
        assert session.scalars(select(Membership.tenant_id)).all() == [two[0]]


def test_a_reading_transaction_stays_one(app, two):
    with app.app_context(), db.engine.connect() as connection:
        pooled = connection.connection
        rls.begin(pooled, two[0], read_only=True)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            pooled.execute("DELETE FROM core_memberships")
        pooled.rollback()


def test_one_connection_reads_as_the_system_and_then_as_a_tenant(app, two):
    own, foreign = two
    with app.app_context(), db.engine.connect() as connection:
        pooled = connection.connection
        moments = []
        for whose in (rls.SYSTEM, own, own, foreign, rls.SYSTEM):
            rls.read_as(pooled, whose)
            found = pooled.execute("SELECT tenant_id::text, now() FROM core_memberships").fetchall()
            wanted = {own, foreign} if whose is rls.SYSTEM else {whose}
            assert {row[0] for row in found} & {own, foreign} == wanted
            moments.append(found[0][1])
        assert len(set(moments)) == 4  # the second of its own is in the same transaction
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            pooled.execute("DELETE FROM core_memberships")


def test_a_tenant_and_its_events_are_shown_to_itself_alone(app, two):
    with app.app_context(), tenant_session(two[0]) as session:
        assert session.scalars(select(Tenant.id)).all() == [two[0]]
        assert set(session.scalars(select(OutboxEvent.tenant_id))) == {two[0]}


def test_a_tenant_writes_news_that_outlives_it_but_reads_none(app, two):
    with app.app_context(), rls.transaction(db.engine, two[0]) as connection:
        news = {"id": uuid7(), "type": "t", "version": 1, "data": {}}
        connection.execute(insert(OutboxEvent).values(news | {"tenant_id": None}))
        shown = connection.scalars(select(OutboxEvent.id)).all()
        assert news["id"] not in shown
        with pytest.raises(ProgrammingError, match="row-level security"):
            connection.execute(
                insert(OutboxEvent).values(news | {"id": uuid7(), "tenant_id": two[1]})
            )
        connection.rollback()


@pytest.mark.parametrize("whose", ["", "'; SET ROLE postgres; --", "system"])
def test_a_transaction_is_bound_to_ids_alone(app, whose: str):
    with app.app_context(), pytest.raises(TenancyError), rls.transaction(db.engine, whose):
        pass


def test_a_connection_that_broke_is_told_as_any_other_and_not_used_again(app, two):
    with app.app_context(), db.engine.connect() as connection:
        connection.connection.driver_connection.pgconn.finish()
        with pytest.raises(DBAPIError):
            rls.bind(connection, two[0])
        assert connection.invalidated


def test_every_tenanted_table_has_its_wall(app, owner):
    forced = "SELECT relname FROM pg_class WHERE relrowsecurity AND relforcerowsecurity"
    assert set(owner.scalars(text(forced))) == {
        *("core_memberships", "core_idempotency_keys", "core_tenants", "core_events")
    }


def test_the_app_owns_nothing_and_can_change_no_table(app):
    with app.app_context(), db.engine.connect() as connection:
        owned = "SELECT count(*) FROM pg_class WHERE relowner = session_user::regrole"
        assert connection.scalar(text(owned)) == 0
        for statement in (
            "ALTER TABLE core_memberships NO FORCE ROW LEVEL SECURITY",
            "DROP POLICY treenail_tenant ON core_memberships",
            "TRUNCATE core_memberships CASCADE",
            "UPDATE alembic_version_core SET version_num = ''",
            "CREATE TABLE core_rings (id int)",
        ):
            with pytest.raises(ProgrammingError, match=r"InsufficientPrivilege"):
                connection.execute(text(statement))
            connection.rollback()


BREAKS: dict[str, tuple[str, str]] = {
    "not forced": (
        "ALTER TABLE core_memberships NO FORCE ROW LEVEL SECURITY",
        "the table core_memberships lacks its row-level security: run treenail db upgrade",
    ),
    "off": (
        "ALTER TABLE core_tenants DISABLE ROW LEVEL SECURITY",
        "the table core_tenants lacks its row-level security",
    ),
    "without its policy": (
        "DROP POLICY treenail_tenant ON core_memberships",
        "the table core_memberships lacks its row-level security",
    ),
    "with a policy that says less": (
        "ALTER POLICY treenail_tenant ON core_memberships USING (true) WITH CHECK (true)",
        "the table core_memberships lacks its row-level security",
    ),
    "with a policy that lets write": (
        "ALTER POLICY treenail_tenant ON core_memberships WITH CHECK (true)",
        "the table core_memberships lacks its row-level security",
    ),
    "opened by another policy": (
        "CREATE POLICY reports ON core_memberships FOR SELECT USING (true)",
        "the policy reports opens the table core_memberships",
    ),
}


def upgrade(settings: dict[str, str]) -> None:
    app = create_app(settings, check_database=False)
    with app.app_context():
        migrate.upgrade(app.extensions["treenail"].registry)
        db.engine.dispose()


def started(settings: dict[str, str]) -> None:
    with create_app(settings).app_context():
        db.engine.dispose()


def as_owner(settings: dict[str, str], statement: str, role: str = "") -> None:
    url = make_url(role or settings["TREENAIL_MIGRATION_DATABASE_URL"])
    address = url.set(drivername="postgresql").render_as_string(False)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(statement)


@pytest.mark.parametrize("how", BREAKS)
def test_production_refuses_a_table_without_its_wall_until_an_upgrade(deployment, how: str):
    statement, message = BREAKS[how]
    started(deployment)
    as_owner(deployment, statement)
    with pytest.raises(ConfigurationError) as error:
        started(deployment)
    assert str(error.value).startswith(f"tenants are not kept apart by the database: {message}")
    assert "\n" not in str(error.value)
    as_owner(deployment, "DROP POLICY IF EXISTS reports ON core_memberships")
    upgrade(deployment)
    started(deployment)


def test_a_policy_for_others_is_none_of_the_apps_business(deployment):
    for_others = "CREATE POLICY backup ON core_memberships TO pg_read_all_data USING (true)"
    as_owner(deployment, for_others)
    started(deployment)


def test_production_refuses_an_owner(deployment):
    url = deployment["TREENAIL_MIGRATION_DATABASE_URL"]
    with pytest.raises(ConfigurationError, match=r"may not become .*_owner_system: run treen"):
        started(deployment | {"TREENAIL_DATABASE_URL": url})


def test_production_refuses_a_superuser(deployment):
    url = make_url(deployment["TREENAIL_DATABASE_URL"])
    server = make_url(databases.POSTGRES)
    above = url.set(username=server.username, password=server.password)
    with pytest.raises(ConfigurationError, match=r"is a superuser or has BYPASSRLS$"):
        started(deployment | {"TREENAIL_DATABASE_URL": above.render_as_string(False)})
    started(deployment | {"TREENAIL_DATABASE_URL": above.render_as_string(False), **DEVELOPMENT})


DEVELOPMENT = {"TREENAIL_ENV": "development"}
ROLES: dict[str, tuple[str, str, str]] = {
    "that passes by": ("ALTER ROLE {app} BYPASSRLS", "ALTER ROLE {app} NOBYPASSRLS", "BYPASSRLS"),
    "that inherits": ("ALTER ROLE {app} INHERIT", "ALTER ROLE {app} NOINHERIT", "inherits the"),
    "in the owner's": ("GRANT {owner} TO {app}", "REVOKE {owner} FROM {app}", "owns the table"),
    "without a second": ("REVOKE {system} FROM {app}", "GRANT {system} TO {app}", "may not become"),
}


@pytest.mark.parametrize("how", ROLES)
def test_production_refuses_a_role(backend, deployment, how: str):
    change, back, message = ROLES[how]
    names = {"app": backend.app, "owner": backend.owner, "system": backend.system}
    as_owner(deployment, change.format(**names), databases.POSTGRES)
    try:
        with pytest.raises(ConfigurationError, match=message):
            started(deployment)
    finally:
        as_owner(deployment, back.format(**names), databases.POSTGRES)
    started(deployment)


def test_an_upgrade_that_changes_nothing_locks_no_table(deployment):
    """A table in use would keep it waiting, and it would keep the table's users waiting."""
    url = make_url(deployment["TREENAIL_DATABASE_URL"]).set(drivername="postgresql")
    with psycopg.connect(url.render_as_string(False)) as other:
        other.execute("SELECT count(*) FROM core_memberships")
        upgrade(deployment)


@pytest.fixture
def newcomers(backend) -> Iterator[Callable[[str], dict[str, str]]]:
    """An empty database whose owner has these rights, and an app's role that isn't there."""
    made: list[tuple[str, str]] = []

    def make(rights: str) -> dict[str, str]:
        name = f"{backend.prefix}_new{len(made)}"
        owner = f"{name}_owner"
        for statement in (
            f"CREATE ROLE {owner} LOGIN {rights} PASSWORD 'own'",
            f"CREATE DATABASE {name} OWNER {owner}",
        ):
            as_owner({}, statement, databases.POSTGRES)
        made.append((name, owner))
        url = make_url(databases.POSTGRES).set(drivername="postgresql+psycopg", database=name)
        of = {"": (f"{name}_app", PASSWORD), "MIGRATION_": (owner, "own")}
        return {
            f"TREENAIL_{key}DATABASE_URL": url.set(
                username=role, password=password
            ).render_as_string(False)
            for key, (role, password) in of.items()
        }

    yield make
    for name, owner in made:
        as_owner({}, f"DROP DATABASE {name} WITH (FORCE)", databases.POSTGRES)
        for role in (owner, f"{name}_app", f"{name}_app_system", f"{owner}_system"):
            drop = sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)).as_string(None)
            as_owner({}, drop, databases.POSTGRES)


def test_an_owner_that_may_makes_the_roles(newcomers, deployment):
    settings = deployment | newcomers("CREATEROLE")
    upgrade(settings)
    upgrade(settings)
    started(settings)


def test_an_owner_that_may_not_says_what_to_run(newcomers, deployment):
    settings = deployment | newcomers("")
    with pytest.raises(ConfigurationError) as error:
        upgrade(settings)
    said = str(error.value)
    assert "PASSWORD '…'" in said
    assert PASSWORD not in said
    needed = said.partition("run: ")[2].replace("…", PASSWORD.replace("'", "''"))
    for statement in needed.split(";"):
        as_owner({}, statement, databases.POSTGRES)
    upgrade(settings)
    started(settings)


@pytest.mark.parametrize(("rights", "walls"), [("CREATEROLE", 4), ("", 0)])
def test_development_bears_one_role_for_all(newcomers, deployment, owner, rights: str, walls: int):
    url = newcomers(rights)["TREENAIL_MIGRATION_DATABASE_URL"]
    one = {"TREENAIL_DATABASE_URL": url, "TREENAIL_MIGRATION_DATABASE_URL": ""}
    settings = deployment | DEVELOPMENT | one
    upgrade(settings)
    app = create_app(settings)
    with app.app_context():
        with system_session("test") as session:
            forced = "SELECT count(*) FROM pg_class WHERE relforcerowsecurity"
            assert session.scalar(text(forced)) == walls
            session.add(Tenant(name="Ash"))
        with system_session("test") as session:
            assert session.scalars(select(Tenant.name)).all() == ["Ash"]
        with db.engine.connect() as connection:
            shown = connection.scalars(text("SELECT name FROM core_tenants")).all()
            assert shown == ([] if walls else ["Ash"])
        db.engine.dispose()
    with pytest.raises(ConfigurationError, match=r"owns the table|may not become"):
        started(deployment | one)
