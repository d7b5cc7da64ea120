"""Switching a plugin off, taking it away for good, and having it again, on a used database."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import past
import psycopg
import pytest
from flask import Flask
from program import ROOT
from sqlalchemy import select
from sqlalchemy.orm import Session
from test_migrations import schema
from treenail.db import db, system_session
from treenail.deliveries import DeliveryRow
from treenail.events import OutboxEvent
from treenail.models import Activation, User
from treenail.periodic import PeriodicRun
from treenail.registry import FIRST_PARTY
from treenail.testing import Caller
from treenail.testing.callers import make_tenant
from treenail_rbac.models import Grant, Holding, Role

ANN, TENANT = "ann@ash.example", "Ash & Oak Carpentry"
Settings = dict[str, str]


@pytest.fixture
def used(backend, tmp_path: Path) -> Settings:
    """A copy of a deployment with a past."""
    own = {"TREENAIL_DATA": str(tmp_path), "TREENAIL_LOG_LEVEL": "ERROR"}
    return own | past.SECRETS | past.CHEAP | backend.copy(tmp_path, "used", past.furnish)


@pytest.fixture
def build(used: Settings) -> Any:
    made: list[Flask] = []

    def make(*plugins: str) -> Flask:
        made.append(past.build(used, plugins))
        return made[-1]

    yield make
    for app in made:
        with app.app_context():
            db.engine.dispose()


def ann(app: Flask) -> Caller:
    """Somebody of the demonstration, in the tenant she had."""
    with app.app_context(), system_session("test", read_only=True) as session:
        user = session.scalars(select(User).where(User.email == ANN)).one()
    caller = Caller(app, user_id=user.id, email=ANN)
    caller.headers["X-Tenant-Id"] = caller.get("/tenants").json["items"][0]["id"]
    return caller


def goes_on_with_core(caller: Caller) -> None:
    assert [tenant["name"] for tenant in caller.get("/tenants").json["items"]] == [TENANT]
    assert caller.get("/me").json["user"]["email"] == ANN
    assert make_tenant(caller.app).owner.get("/tenants").status == 200


def goes_on_with_auth(caller: Caller) -> None:
    body = {"email": ANN, "password": past.demo().PASSWORD}
    found = caller.post("/auth/login", body).json
    bearer = {"Authorization": f"Bearer {found['accessToken']}"}
    assert caller.get("/me/sessions", headers=bearer).status == 200
    assert caller.post("/auth/refresh", {"refreshToken": found["refreshToken"]}).status == 200


def goes_on_with_rbac(caller: Caller) -> None:
    tenant = caller.headers["X-Tenant-Id"]
    body = {"email": "new@example.com", "role": "member"}
    assert caller.post(f"/tenants/{tenant}/invitations", body).status == 201
    body = {"name": "Visitor", "permissions": ["tenant:read"]}
    assert caller.post("/roles", body).status == 201


def goes_on_with_workspaces(caller: Caller) -> None:
    (workspace,) = caller.get("/workspaces").json["items"]
    path = f"/workspaces/{workspace['id']}/documents"
    titles = [document["title"] for document in caller.get(path).json["items"]]
    assert sorted(titles) == ["How an order goes", "Roof truss"]
    assert caller.post(path, {"title": "Stairs", "kind": "board"}).status == 201


def goes_on_with_collab(caller: Caller) -> None:
    board = caller.get("/documents?q=roof").json["items"][0]["id"]
    content = caller.get(f"/documents/{board}/content").json
    assert content["objects"]["note-0"]["text"] == "Measure twice 📏"
    assert caller.post(f"/documents/{board}/collab-token", {}).status == 200


def goes_on_with_webhooks(caller: Caller) -> None:
    body = {"url": "https://hooks.invalid/", "events": ["tenant.*"]}
    made = caller.post("/webhooks/endpoints", body).json
    assert caller.post(f"/webhooks/endpoints/{made['id']}/test").status == 202


def goes_on_with_audit(caller: Caller) -> None:
    assert caller.get("/audit").json["items"]
    assert caller.get("/audit/verify").json["valid"]


GOES_ON: dict[str, Callable[[Caller], None]] = {
    "core": goes_on_with_core,
    "auth": goes_on_with_auth,
    "rbac": goes_on_with_rbac,
    "workspaces": goes_on_with_workspaces,
    "collab": goes_on_with_collab,
    "webhooks": goes_on_with_webhooks,
    "audit": goes_on_with_audit,
}


def begins_with(plugin: str, caller: Caller) -> None:
    """A plugin that is new here, used in a tenant that was there before."""
    if plugin == "auth":
        body = {"email": "new@example.com", "password": "elm and ash 🌳", "name": "New"}
        assert caller.post("/auth/register", body).status == 201
    elif plugin == "rbac":
        goes_on_with_rbac(caller)
    elif plugin == "webhooks":
        goes_on_with_webhooks(caller)
    elif plugin == "audit":
        assert caller.post("/tenants", {"name": "New"}).status == 201
        goes_on_with_audit(caller)
    else:
        workspaces = caller.get("/workspaces").json["items"]
        workspace = workspaces[0] if workspaces else caller.post("/workspaces", {"name": "B"}).json
        path = f"/workspaces/{workspace['id']}/documents"
        document = caller.post(path, {"title": "Stairs", "kind": "board"}).json["id"]
        assert caller.get(f"/documents/{document}/content").json["objects"] == {}


def told_of(session: Session, column: Any) -> set[str]:
    return set(session.scalars(select(column).distinct()))


def nothing_speaks_of(gone: list[str], app: Flask) -> None:
    """The tables of the others."""
    platform = app.extensions["treenail"]
    with app.app_context(), system_session("test", read_only=True) as session:
        tasks = {*told_of(session, DeliveryRow.subscription), *told_of(session, PeriodicRun.name)}
        assert not {name for name in tasks if name.partition(".")[0] in gone}
        assert told_of(session, OutboxEvent.type) <= platform.event_types.keys()
        assert bool(told_of(session, Activation.session_id)) == ("auth" not in gone)
        if "rbac" not in gone:
            assert told_of(session, Grant.resource_type) <= platform.resource_types.keys()
            assert told_of(session, Role.resource_type) <= platform.resource_types.keys()
            assert told_of(session, Holding.permission) <= platform.permissions


@pytest.mark.parametrize("plugin", FIRST_PARTY)
def test_purged_it_leaves_the_rest_at_work_and_begins_anew(used, build, plugin: str):
    before = schema(build(*FIRST_PARTY))
    gone, rest = past.standing_on(plugin), past.without(plugin)
    plans = past.purge_with_dependents(used, plugin)
    assert [plan.plugin for plan in plans] == gone
    assert all(sum(table.rows for table in plan.tables) for plan in plans)
    assert past.rows(used, *(f"{name}_" for name in gone), f"alembic_version_{plugin}") == {}
    fewer = build(*rest)
    nothing_speaks_of(gone, fewer)
    for name in ("core", *rest):
        GOES_ON[name](ann(fewer))
    again = build(*FIRST_PARTY)
    assert schema(again) == before
    assert not any(past.rows(used, *(f"{name}_" for name in gone)).values())
    for name in reversed(gone):
        begins_with(name, ann(again))


def test_functions_of_its_triggers_go_with_its_tables(used):
    """On PostgreSQL; SQLite has none."""
    if "TREENAIL_DATABASE_URL" not in used:
        return
    with psycopg.connect(
        used["TREENAIL_MIGRATION_DATABASE_URL"].replace("+psycopg", "")
    ) as connection:
        connection.execute(
            "CREATE FUNCTION collab_guard() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END';"
            "CREATE TRIGGER guard BEFORE DELETE ON collab_updates EXECUTE FUNCTION collab_guard()"
        )
    (plan,) = past.purge_with_dependents(used, "collab")
    assert plan.functions == ["collab_guard()"]
    with psycopg.connect(
        used["TREENAIL_MIGRATION_DATABASE_URL"].replace("+psycopg", "")
    ) as connection:
        found = connection.execute("SELECT 1 FROM pg_proc WHERE proname = 'collab_guard'")
        assert found.fetchone() is None


@pytest.mark.long
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
@pytest.mark.parametrize("plugin", FIRST_PARTY)
def test_the_others_own_suites_are_green_where_it_was_purged(plugin: str, database: str):
    """Every database of theirs was filled with everything on; then the plugin was purged."""
    suites = ["core/tests", *(f"plugins/{name}/tests" for name in past.without(plugin))]
    options = ["-q", "-n", "2", "--dist", "loadfile", "-k", database]
    told = {"TREENAIL_TEST_PAST": "past:purged_of_one", "TREENAIL_TEST_PURGED": plugin}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *suites],
        cwd=ROOT,
        env=os.environ | told,
        capture_output=True,
        text=True,
    )
    print(f"without {plugin} on {database}: {done.stdout.splitlines()[-1]}")
    assert done.returncode == 0, done.stdout[-6000:]
