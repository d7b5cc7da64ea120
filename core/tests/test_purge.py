"""Purging a plugin: what is shown, what is refused, and what goes."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, select, text
from treenail import migrate, purge
from treenail.clock import utcnow
from treenail.contributions import EventType, Leftover, Subscription
from treenail.db import db, system_session
from treenail.deliveries import DeliveryRow, drain
from treenail.events import OutboxEvent, emit
from treenail.models import User
from treenail.periodic import PeriodicRun
from treenail.plugin import Plugin, hookimpl
from treenail.schemas import Schema
from treenail.testing.callers import make_tenant

REVISION = """
import sqlalchemy as sa
from alembic import op
revision, down_revision, branch_labels, depends_on = "{name}_0001", None, None, None
def upgrade():
    op.create_table(
        "{name}_rings",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("tenant_id", sa.Uuid(as_uuid=False)),
        sa.Column("inner", sa.Integer, sa.ForeignKey("{name}_rings.id")),
        {column}
    )
"""
OF_OAK = 'sa.Column("oak", sa.Integer, sa.ForeignKey("oak_rings.id")),'
Shipping = Callable[..., type[Plugin]]


@pytest.fixture
def shipping(tmp_path: Path) -> Shipping:
    """A plugin with a table, which may refer to oak's, and with an event."""

    def make(name: str, column: str = "", **members: Any) -> type[Plugin]:
        folder = tmp_path / f"{name}-migrations"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}_0001.py").write_text(REVISION.format(name=name, column=column))
        felled = [EventType(f"{name}.felled", Schema, "It was felled.", {})]
        made = {
            "name": name,
            "version": "1.0",
            "migrations": classmethod(lambda cls: folder),
            "event_types": hookimpl(lambda self: felled),
        }
        return type(name, (Plugin,), made | members)

    return make


@pytest.fixture
def left(build, shipping: Shipping) -> Callable[..., Any]:
    """An app without oak, which was there, with whatever is there now."""

    def leave(*plugins: type[Plugin], oak: type[Plugin] | None = None) -> Any:
        before = build(oak or shipping("oak"), *plugins, check_database=False)
        with before.app_context():
            migrate.upgrade(before.extensions["treenail"].registry)
        return build(*plugins)

    return leave


def tables(app: Any) -> set[str]:
    with app.app_context():
        return set(inspect(db.engine).get_table_names())


def execute(app: Any, statement: str, **values: Any) -> None:
    with app.app_context(), system_session("test") as session:
        session.execute(text(statement), values)


def planned(app: Any, name: str = "oak") -> purge.Plan:
    with app.app_context():
        return purge.plan(app.extensions["treenail"].registry, name)


def purged(app: Any, name: str = "oak") -> purge.Plan:
    with app.app_context():
        return purge.purge(app.extensions["treenail"].registry, name)


def refusal(app: Any, name: str = "oak") -> str:
    """Why it can't be purged; nothing has changed."""
    before = tables(app)
    with pytest.raises(purge.Refused) as refused:
        purged(app, name)
    assert tables(app) == before
    return str(refused.value)


def test_a_plan_counts_rows_and_tenants_and_changes_nothing(left):
    app = left()
    owners = [make_tenant(app).id.replace("-", "") for _ in range(2)]
    for number in range(5):
        statement = "INSERT INTO oak_rings (id, tenant_id) VALUES (:id, :tenant)"
        execute(app, statement, id=number, tenant=owners[number % 2])
    before = tables(app)
    assert planned(app).tables == [purge.OwnTable("oak_rings", 5, 2)]
    assert tables(app) == before


def test_a_purge_takes_tables_and_version(left):
    app = left()
    execute(app, "INSERT INTO oak_rings (id, inner) VALUES (1, 1)")
    before = tables(app)
    purged(app)
    assert before - tables(app) == {"oak_rings", "alembic_version_oak"}
    assert refusal(app) == "no plugin oak is installed, and none has left anything behind"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("core", "everything stands on the core; it can't be purged"),
        ("elm", "no plugin elm is installed, and none has left anything behind"),
        ("alembic", "no plugin alembic is installed, and none has left anything behind"),
        ("injected", "injected is enabled: take it out of TREENAIL_PLUGINS first"),
    ],
)
def test_what_is_not_there_or_in_use_is_refused(left, name: str, why: str):
    assert refusal(left(), name) == why


def test_what_an_enabled_but_failed_plugin_requires_is_refused(build, left, shipping: Shipping):
    left()
    elm = shipping("elm", requires=("oak",))
    app = build(elm, on_plugin_error="skip", check_database=False)
    assert "elm" not in app.extensions["treenail"].registry.plugins
    assert refusal(app) == "elm is enabled and requires oak"


def test_what_another_table_refers_to_is_refused_until_that_is_purged(left, build, shipping):
    left(shipping("elm", OF_OAK))
    app = build()
    assert refusal(app) == "elm_rings refers to oak_rings: purge elm first"
    purged(app, "elm")
    purged(app)
    assert not {"oak_rings", "elm_rings"} & tables(app)


CIRCLE = """
    op.create_table(
        "oak_bark",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("ring", sa.Integer, sa.ForeignKey("oak_rings.id")),
    )
"""
OF_BARK = 'sa.Column("bark", sa.Integer, sa.ForeignKey("oak_bark.id")),'


def test_tables_that_refer_to_one_another_go_together(left, shipping: Shipping, tmp_path: Path):
    oak = shipping("oak", OF_BARK)
    revision = tmp_path / "oak-migrations" / "oak_0001.py"
    revision.write_text(revision.read_text() + CIRCLE)
    app = left(oak=oak)
    execute(app, "INSERT INTO oak_rings (id) VALUES (1)")
    execute(app, "INSERT INTO oak_bark (id, ring) VALUES (1, 1)")
    execute(app, "UPDATE oak_rings SET bark = 1")
    purged(app)
    assert not {"oak_rings", "oak_bark"} & tables(app)


def broken(self: Plugin, purged: Any) -> Any:
    raise RuntimeError("worm in the hook")


def test_a_plugin_that_cannot_say_what_it_keeps_holds_it_up(left, shipping: Shipping):
    app = left(shipping("elm", leftovers=hookimpl(broken)))
    assert refusal(app) == "elm can't say what it keeps for oak: worm in the hook"


def test_a_table_goes_to_the_plugin_with_the_longest_name(left, shipping: Shipping):
    app = left(shipping("oak_tall"))
    plan = purged(app)
    assert [table.name for table in plan.tables] == ["oak_rings"]
    assert plan.kept == {"oak_tall_rings": "oak_tall"}
    assert "oak_tall_rings" in tables(app)


def test_a_failure_in_the_middle_leaves_everything(left, shipping: Shipping):
    impossible = Leftover("nothing", User, text("no_such_column = 1"))
    app = left(shipping("elm", leftovers=hookimpl(lambda self, purged: [impossible])))
    before = tables(app)
    with pytest.raises(Exception, match="no_such_column"):
        purged(app)
    assert tables(app) == before


def listening(name: str) -> Any:
    """A hook: everything that was felled is this plugin's business."""
    subscription = Subscription(name, ("*.felled",), lambda delivery: None)
    return hookimpl(lambda self: [subscription])


@pytest.fixture
def felled(build, left, shipping: Shipping) -> Callable[[bool], Any]:
    """Oak has told something, which elm hears; then oak is switched off, still installed."""

    def fell(delivered: bool) -> Any:
        oak = shipping("oak", subscriptions=listening("rings"))
        elm = shipping("elm", subscriptions=listening("bark"))
        left(elm, oak=oak)
        app = build(oak, elm)
        with app.app_context(), system_session("test") as session:
            emit(session, "oak.felled", {})
            emit(session, "elm.felled", {})
            session.add(PeriodicRun(name="oak.grow", next_at=utcnow()))
        with app.app_context():
            drain()
        if not delivered:
            open_again = "UPDATE core_deliveries SET status = 'pending'"
            execute(app, open_again + " WHERE subscription = 'elm.bark'")
        off = build(elm)
        off.extensions["treenail"].registry.installed["oak"] = lambda: oak
        return off

    return fell


def remaining(app: Any) -> tuple[set[str], set[str]]:
    """Types of the events there are, and the subscriptions with a delivery."""
    with app.app_context(), system_session("test", read_only=True) as session:
        assert session.scalars(select(PeriodicRun.name)).all() == []
        types = set(session.scalars(select(OutboxEvent.type)))
        return types, set(session.scalars(select(DeliveryRow.subscription)))


def test_its_events_and_deliveries_go(felled):
    app = felled(delivered=True)
    found = {item.about: item.rows for item in planned(app).elsewhere}
    assert found == {
        "deliveries to it": 2,
        "deliveries of its events": 1,
        "its events": 1,
        "times of its periodic tasks": 1,
    }
    purged(app)
    assert remaining(app) == ({"elm.felled"}, {"elm.bark"})


def test_an_event_somebody_else_still_waits_for_stays(felled):
    app = felled(delivered=False)
    purged(app)
    assert remaining(app) == ({"oak.felled", "elm.felled"}, {"elm.bark"})
    with app.app_context():
        assert drain() == 2


def test_of_a_plugin_that_is_gone_it_says_what_it_cannot_know(left):
    plan = purged(left())
    assert plan.notes[0].startswith("oak can't be asked (it is not installed): its events")


def test_it_is_the_owner_of_the_tables_who_purges(left, build, tmp_path: Path):
    left()
    elsewhere = tmp_path / "owners.db"
    with sqlite3.connect(tmp_path / "treenail.db") as there:
        there.execute("VACUUM INTO ?", [str(elsewhere)])
    there.close()
    app = build(migration_database_url=f"sqlite:///{elsewhere}")
    purged(app)
    assert "oak_rings" in tables(app)
    assert "oak_rings" not in tables(build(database_url=f"sqlite:///{elsewhere}"))


@pytest.fixture
def program(left, tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    left()
    kept = {key: value for key, value in os.environ.items() if not key.startswith("TREENAIL_")}
    environ = kept | {"TREENAIL_DATA": str(tmp_path), "TREENAIL_PLUGINS": ""}

    def run(*words: str, typed: str = "") -> tuple[int, str, str]:
        command = [sys.executable, "-m", "treenail", "plugins", *words]
        done = subprocess.run(command, env=environ, input=typed, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    return run


def test_the_program_only_shows_until_it_is_told_to_delete(program):
    code, out, _ = program("purge", "oak")
    assert code == 0
    assert "oak_rings" in out
    assert "Nothing was changed" in out
    listed = {row["name"]: row["keptRows"] for row in json.loads(program("list", "--json")[1])}
    assert (listed["core"], listed["oak"]) == (None, 0)
    code, _, error = program("purge", "oak", "--yes-delete-data", "elm")
    assert (code, error) == (1, "Error: elm is not oak; nothing was changed\n")
    assert program("purge", "oak", "--delete-data")[0] == 1  # nobody there to ask
    assert program("purge", "oak", "--delete-data", typed="elm\n")[0] == 1
    done = json.loads(program("purge", "oak", "--json")[1])
    assert (done["deleted"], [table["name"] for table in done["tables"]]) == (False, ["oak_rings"])


def test_the_program_deletes_when_the_name_is_typed(program):
    code, out, error = program("purge", "oak", "--delete-data", typed="oak\n")
    assert (code, out.splitlines()[-1]) == (0, "oak is purged"), error
    code, out, error = program("purge", "oak")
    assert (code, out, error.count("\n")) == (1, "", 1)


def test_the_program_deletes_without_asking_for_machines(program):
    done = json.loads(program("purge", "oak", "--yes-delete-data", "oak", "--json")[1])
    assert (done["deleted"], [table["name"] for table in done["tables"]]) == (True, ["oak_rings"])
