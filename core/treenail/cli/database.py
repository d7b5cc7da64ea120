"""``treenail db``: migrations."""

import sys

import click
from flask import current_app, g
from flask.cli import with_appcontext
from flask_migrate import revision as make_revision

from treenail import migrate, platform


@click.group("db")
def group() -> None:
    """The database's tables."""


@group.command()
@with_appcontext
def upgrade() -> None:
    """Bring the tables of every enabled plugin up to date."""
    registry = platform.current().registry
    for name in migrate.upgrade(registry):
        click.echo(f"{name}: {migrate.head(registry.plugins[name])}")
    for failure in registry.failures:
        click.echo(str(failure), err=True)
    sys.exit(1 if registry.failures else 0)


@group.command()
@click.argument("plugin")
@click.option("-m", "--message", required=True, help="What the revision does.")
@with_appcontext
def revision(plugin: str, message: str) -> None:
    """Write a new revision of PLUGIN from its models."""
    g.migrating = current_app.extensions["treenail"].registry.plugins[plugin]
    folder = str(g.migrating.migrations() or "")
    number = len([n for n in g.migrating.migrations().iterdir() if n.name.endswith(".py")]) + 1
    make_revision.__wrapped__(
        message=message,
        autogenerate=True,
        version_path=folder,
        rev_id=f"{plugin}_{number:04}",
        head="head" if number > 1 else "base",
    )
