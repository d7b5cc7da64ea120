"""Migrations and the commands around them: each plugin's tables come, stay and fail alone."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import inspect, select
from treenail import migrate
from treenail.db import db, system_session
from treenail.errors import ConfigurationError
from treenail.models import Membership, Tenant
from treenail.plugin import Plugin
from treenail.testing import Client
from treenail.testing.callers import make_person, make_tenant

GOOD = """
import sqlalchemy as sa
from alembic import op
revision, down_revision, branch_labels, depends_on = "{name}_0001", None, None, None
def upgrade():
    op.create_table("{name}_rings", sa.Column("id", sa.Integer, primary_key=True))
"""
FAILING = GOOD + "    raise RuntimeError('worm in the migration')\n"
UNREADABLE = "raise RuntimeError('worm in the script')\n"

Shipping = Callable[..., type[Plugin]]


@pytest.fixture
def shipping(tmp_path: Path) -> Shipping:
    """A plugin that ships one revision with this source."""

    def make(name: str, source: str = GOOD, requires: tuple[str, ...] = ()) -> type[Plugin]:
        folder = tmp_path / f"{name}-migrations"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}_0001.py").write_text(source.format(name=name))
        members = {"migrations": classmethod(lambda cls: folder), "requires": requires}
        return type(name, (Plugin,), {"name": name, "version": "1.0", **members})

    return make


def upgraded(app: Any) -> list[str]:
    with app.app_context():
        return migrate.upgrade(app.extensions["treenail"].registry)


def tables(app: Any) -> set[str]:
    with app.app_context():
        return set(inspect(db.engine).get_table_names())


def test_a_plugin_brings_its_tables_and_its_own_version_table(build, shipping: Shipping):
    app = build(shipping("oak"), check_database=False)
    assert upgraded(app) == ["core", "oak"]
    assert {"oak_rings", "alembic_version_oak"} <= tables(app)
    assert build(shipping("oak")).extensions["treenail"].registry.failures == []


def test_an_upgrade_does_nothing_twice(build, shipping: Shipping):
    app = build(shipping("oak"), check_database=False)
    assert upgraded(app) == upgraded(app)


def test_dependencies_are_migrated_first(build, shipping: Shipping):
    app = build(shipping("ash", requires=("oak",)), shipping("oak"), check_database=False)
    assert upgraded(app) == ["core", "oak", "ash"]


def test_a_start_on_an_unmigrated_database_says_what_to_do(build, shipping: Shipping):
    with pytest.raises(ConfigurationError) as error:
        build(shipping("oak"))
    assert str(error.value) == (
        "plugin oak failed (migrate): the database has nothing, this version needs oak_0001: "
        "run treenail db upgrade"
    )


def test_an_unmigrated_plugin_can_be_skipped(build, shipping: Shipping):
    app = build(shipping("oak"), on_plugin_error="skip")
    assert list(app.extensions["treenail"].registry.plugins) == ["core", "injected"]
    assert Client(app).get("//readyz").json["status"] == "degraded"


@pytest.mark.parametrize("worm", [FAILING, UNREADABLE])
def test_a_failing_migration_stops_the_upgrade(build, shipping: Shipping, worm: str):
    with pytest.raises(ConfigurationError, match=r"plugin oak failed .migrate.: worm in the"):
        upgraded(build(shipping("oak", worm), check_database=False))


def test_an_unreadable_revision_stops_the_start_or_is_skipped(build, shipping: Shipping):
    with pytest.raises(ConfigurationError, match=r"plugin oak failed .migrate.: worm in the scr"):
        build(shipping("oak", UNREADABLE))
    app = build(shipping("oak", UNREADABLE), on_plugin_error="skip")
    assert list(app.extensions["treenail"].registry.plugins) == ["core", "injected"]


@pytest.mark.parametrize("worm", [FAILING, UNREADABLE])
def test_a_failing_migration_can_be_skipped_and_leaves_no_table(
    build, shipping: Shipping, worm: str
):
    plugins = (shipping("oak", worm), shipping("ash", requires=("oak",)), shipping("elm"))
    app = build(*plugins, on_plugin_error="skip", check_database=False)
    assert upgraded(app) == ["core", "elm"]
    assert not {"oak_rings", "ash_rings"} & tables(app)
    assert "elm_rings" in tables(app)


def test_a_disabled_plugin_keeps_its_tables_and_comes_back(build, shipping: Shipping):
    upgraded(build(shipping("oak"), check_database=False))
    without = build()
    assert "oak_rings" in tables(without)
    assert upgraded(build(shipping("oak"), check_database=False)) == ["core", "oak"]


HEAD = max(path.stem for path in Path(migrate.__file__).parents[1].glob("migrations/core_*.py"))
UP_TO_DATE = f"core: {HEAD[:9]}\n"


def _treenail(environ: Mapping[str, str], *words: str) -> subprocess.Popen[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("TREENAIL_")}
    command = [sys.executable, "-m", "treenail", *words]
    out = subprocess.PIPE
    return subprocess.Popen(command, env={**kept, **environ}, stdout=out, stderr=out, text=True)


def treenail(environ: Mapping[str, str], *words: str) -> tuple[int, str, str]:
    with _treenail(environ, *words) as process:
        out, error = process.communicate(timeout=60)
        return process.returncode, out, error


@pytest.fixture
def empty(backend, tmp_path: Path) -> dict[str, str]:
    """The settings of a deployment whose database has no tables yet."""
    settings = {"TREENAIL_DATA": str(tmp_path), "TREENAIL_PLUGINS": ""}
    if "sqlite" in type(backend).__name__.lower():
        return settings
    return settings | backend.copy(tmp_path, "nothing", lambda environ: None)


def test_two_upgrades_at_once_agree(empty: dict[str, str]):
    running = [_treenail(empty, "db", "upgrade") for _ in range(3)]
    results = [(process.communicate(timeout=60), process.returncode) for process in running]
    assert results == [((UP_TO_DATE, ""), 0)] * 3
    assert treenail(empty, "plugins", "check")[:2] == (0, "1 plugins are well\n")


def test_a_migrator_waits_for_another(empty: dict[str, str]):
    if "TREENAIL_DATABASE_URL" not in empty:
        return  # SQLite lets one writer in anyway
    url = empty["TREENAIL_DATABASE_URL"].replace("+psycopg", "")
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(x'7472656E'::int)")
        with _treenail(empty, "db", "upgrade") as process:
            while not other.execute(waiting).fetchone()[0]:
                assert process.poll() is None
            other.execute("SELECT pg_advisory_unlock_all()")
            assert process.communicate(timeout=60) == (UP_TO_DATE, "")


@pytest.mark.parametrize(
    "words",
    [
        ("serve", "--port", "1"),
        ("worker",),
        ("plugins", "check"),
        ("operators", "create", "--email", "op@example.com", "--name", "Op"),
    ],
)
def test_a_command_on_an_unmigrated_database_fails_in_one_line(tmp_path: Path, words: Any):
    code, out, error = treenail({"TREENAIL_DATA": str(tmp_path), "TREENAIL_PLUGINS": ""}, *words)
    assert (code, out) == (2, "")
    assert error.startswith("treenail: plugin core failed (migrate): the database has nothing")
    assert error.count("\n") == 1


@pytest.fixture
def command(build, tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    """Run the program on a migrated deployment."""
    build()
    settings = {"TREENAIL_DATA": str(tmp_path), "TREENAIL_PLUGINS": ""}

    def run(*words: str, **more: str) -> tuple[int, str, str]:
        given = {f"TREENAIL_{key.upper()}": value for key, value in more.items()}
        return treenail(settings | given, *words)

    return run


def test_plugins_are_listed_with_their_states(build, shipping: Shipping, command):
    upgraded(build(shipping("oak"), check_database=False))
    code, out, _ = command("plugins", "list", "--json", plugins="elm", on_plugin_error="skip")
    states = {row["name"]: row["state"] for row in json.loads(out)}
    assert code == 0
    assert {"core": "enabled", "oak": "orphan", "elm": "failed"}.items() <= states.items()
    row = next(row for row in json.loads(out) if row["name"] == "oak")
    assert (row["revision"], row["head"]) == ("oak_0001", None)
    assert "oak" in command("plugins", "list")[1]


def test_a_check_fails_when_anything_does(command):
    code, _, error = command("plugins", "check", plugins="elm", on_plugin_error="skip")
    assert code == 1
    assert error.splitlines()[-1] == "plugin elm failed (import): is enabled but not installed"


def test_a_wrong_setting_is_one_line(command):
    code, out, error = command("plugins", "check", threads="many")
    assert (code, out) == (2, "")
    assert error == "treenail: TREENAIL_THREADS: Not a valid integer.\n"


def test_the_first_operator_makes_the_operators_tenant(build, command):
    for number in (1, 2):
        email = f"op{number}@example.com"
        code, out, _ = command("operators", "create", "--email", email, "--name", "Op")
        assert code == 0
        assert out.startswith(f"operator {email} in tenant ")
        assert "\npassword " in out
    with build().app_context(), system_session("test", read_only=True) as session:
        rows = session.execute(select(Tenant.kind, Membership.role).join_from(Membership, Tenant))
        assert rows.all() == [("provider", "owner")] * 2


def test_only_operators_see_the_plugins(build):
    app = build()
    operator, customer = make_tenant(app, kind="provider"), make_tenant(app)
    names = [row["name"] for row in operator.owner.get("/plugins").json["items"]]
    assert {"core", "injected"} <= set(names)
    for caller in (customer.owner, make_person(app)):
        assert (answer := caller.get("/plugins")).status == 403
        assert answer.code == "permission_denied"
    assert Client(app).get("/plugins").status == 401


def test_a_model_may_be_the_first_thing_a_process_makes(tmp_path: Path):
    script = (
        "from treenail.app import create_app; from treenail.models import User\n"
        f"create_app({{'TREENAIL_DATA': {str(tmp_path)!r}, 'TREENAIL_PLUGINS': ''}},"
        " check_database=False)\n"
        "User(email='a@example.com')"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
