"""``treenail plugins``: what is there, and whether it is well."""

import json
import sys
from pathlib import Path
from typing import Any

import click
from flask.cli import with_appcontext
from rich.console import Console
from rich.table import Table
from sqlalchemy.exc import DBAPIError

from treenail import inventory, migrate, platform
from treenail import purge as purging
from treenail.cli import scaffold

COLOURS = {"enabled": "green", "disabled": "dim", "failed": "red", "orphan": "yellow"}


@click.group("plugins")
def group() -> None:
    """The installed plugins."""


@group.command("list")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@with_appcontext
def list_plugins(as_json: bool) -> None:
    """Show every plugin with its state."""
    registry = platform.current().registry
    rows = inventory.plugins(registry)
    for row in rows:
        kept = row["revision"] and row["state"] in ("disabled", "orphan")
        row["keptRows"] = purging.left_behind(registry, row["name"]) if kept else None
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    table = Table("plugin", "version", "state", "requires", "revision", "kept rows", "reason")
    for row in rows:
        state = f"[{COLOURS[row['state']]}]{row['state']}[/]"
        requires, kept = ", ".join(row["requires"]), row["keptRows"]
        cells = (row["version"], state, requires, row["revision"], kept, row["reason"])
        table.add_row(row["name"], *("" if cell is None else str(cell) for cell in cells))
    Console().print(table)


@group.command()
@with_appcontext
def check() -> None:
    """Say what is wrong with the enabled plugins; exit 1 if anything is."""
    registry = platform.current().registry
    migrate.check(registry)
    for failure in registry.failures:
        click.echo(str(failure), err=True)
    if not registry.failures:
        click.echo(f"{len(registry.plugins)} plugins are well")
    sys.exit(1 if registry.failures else 0)


@group.command()
@click.argument("name")
@click.option("--thing", help="What it keeps, one of them; by default as the plugin, less an s.")
@click.option("--into", default=".", help="The folder in which its own is made.", type=Path)
def new(name: str, thing: str | None, into: Path) -> None:
    """Write a whole small plugin into a new folder NAME: to install, test and change."""
    try:
        folder = scaffold.write(name, thing, into)
    except scaffold.BadName as problem:
        raise click.ClickException(f"{problem}; nothing was written") from None
    except OSError as error:
        raise click.ClickException(f"{error.filename}: {error.strerror}") from None
    click.echo(f"pip install -e '{folder}[tests]' && pytest {folder}")


@group.command()
@click.argument("name")
@click.option("--delete-data", is_flag=True, help="Ask for the plugin's name, then do it.")
@click.option("--yes-delete-data", metavar="NAME", help="The plugin's name again: don't ask.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@with_appcontext
def purge(name: str, delete_data: bool, yes_delete_data: str | None, as_json: bool) -> None:
    """Show what plugin NAME, switched off or gone, has left, and delete it when told to."""
    registry = platform.current().registry
    try:
        plan = purging.plan(registry, name)
        if not as_json:
            _show(plan)
        if delete_data and yes_delete_data is None:
            yes_delete_data = click.prompt(f"To delete this, type {name}", err=True)
        if yes_delete_data not in (None, name):
            raise click.ClickException(f"{yes_delete_data} is not {name}; nothing was changed")
        if yes_delete_data:
            plan = purging.purge(registry, name)
    except purging.Refused as refusal:
        raise click.ClickException(f"{refusal}; nothing was changed") from None
    except DBAPIError as error:
        raise click.ClickException(f"{migrate.first_line(error)}; nothing was changed") from None
    if as_json:
        click.echo(json.dumps({**plan.document(), "deleted": bool(yes_delete_data)}, indent=2))
    elif yes_delete_data:
        click.echo(f"{name} is purged")
    else:
        click.echo(f"Nothing was changed. To delete this: --yes-delete-data {name}")


def _show(plan: purging.Plan) -> None:
    table = Table("what goes", "table", "rows", "tenants")
    rows: list[tuple[Any, ...]] = [("", own.name, own.rows, own.tenants) for own in plan.tables]
    rows += [(other.about, other.table, other.rows, None) for other in plan.elsewhere if other.rows]
    for about, *cells in rows:
        table.add_row(about or "a table of its own", *("" if c is None else str(c) for c in cells))
    for function in plan.functions:
        table.add_row("a function", function)
    Console().print(table)
    for kept, whose in plan.kept.items():
        click.echo(f"{kept} stays: it is taken for {whose}'s")
    for note in plan.notes:
        click.echo(note)
