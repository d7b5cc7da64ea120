"""The ``treenail`` program: Flask's own command group, with ours and the plugins' commands."""

import sys
from typing import Any

import click
from flask.cli import FlaskGroup

from treenail.cli import database, operators, plugins, serve
from treenail.errors import ConfigurationError


def _create_app() -> Any:
    from treenail.app import create_app

    app = create_app(check_database=False)
    for command in app.extensions["treenail"].registry.all("commands"):
        app.cli.add_command(command)
    return app


cli = FlaskGroup(
    name="treenail",
    create_app=_create_app,
    add_default_commands=False,
    add_version_option=False,
    load_dotenv=False,
    set_debug_flag=False,
    help="The platform for multi-tenant, collaborative, offline-first products.",
)
cli.add_command(serve.serve)
cli.add_command(serve.worker)
cli.add_command(database.group)
cli.add_command(plugins.group)
cli.add_command(operators.group)
cli.add_command(serve.openapi)


def main() -> None:
    """Run the program; a wrong configuration is one line, not a traceback."""
    try:
        cli.main()
    except ConfigurationError as error:
        click.echo(f"treenail: {error}", err=True)
        sys.exit(2)
