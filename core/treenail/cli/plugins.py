"""``treenail plugins``: what is there, and whether it is well."""

import json
import sys

import click
from flask.cli import with_appcontext
from rich.console import Console
from rich.table import Table

from treenail import inventory, migrate, platform

COLOURS = {"enabled": "green", "disabled": "dim", "failed": "red", "orphan": "yellow"}


@click.group("plugins")
def group() -> None:
    """The installed plugins."""


@group.command("list")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@with_appcontext
def list_plugins(as_json: bool) -> None:
    """Show every plugin with its state."""
    rows = inventory.plugins(platform.current().registry)
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    table = Table("plugin", "version", "state", "requires", "revision", "reason")
    for row in rows:
        state = f"[{COLOURS[row['state']]}]{row['state']}[/]"
        requires = ", ".join(row["requires"])
        cells = (row["name"], row["version"], state, requires, row["revision"], row["reason"])
        table.add_row(*(cell or "" for cell in cells))
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
