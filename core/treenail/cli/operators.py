"""``treenail operators``: the people who run the deployment."""

import secrets

import click
from flask.cli import with_appcontext
from sqlalchemy import select

from treenail import migrate, platform
from treenail.db import system_session, tenant_session
from treenail.errors import Problem
from treenail.models import OWNER, Tenant, User
from treenail.provisioning import provision
from treenail.tenants import services


@click.group("operators")
def group() -> None:
    """The operators' tenant and its members."""


@group.command()
@click.option("--email", required=True, help="Where the operator is reached.")
@click.option("--name", required=True, help="What the operator is called.")
@click.option("--password", help="Made up and printed when left out.", envvar="OPERATOR_PASSWORD")
@with_appcontext
def create(email: str, name: str, password: str | None) -> None:
    """Add an operator; the first one makes the operators' tenant."""
    migrate.check(platform.current().registry)
    made_up = None if password else secrets.token_urlsafe(15)
    try:
        tenant_id = _create(email, name, password or made_up or "")
    except Problem as problem:
        raise click.ClickException(problem.detail) from None
    click.echo(f"operator {email} in tenant {tenant_id}")
    if made_up:
        click.echo(f"password {made_up}")


def _create(email: str, name: str, password: str) -> str:
    with system_session("create operator") as session:
        tenant_id = session.scalar(select(Tenant.id).where(Tenant.kind == "provider"))
        user = services.find_user(session, email) or services.create_user(session, email, name)
        user_id = user.id
    if tenant_id is None:
        made = services.create_tenant(user_id, "Operators", kind="provider", password=password)
        return made.id
    with tenant_session(tenant_id) as session:
        services.join(session, user_id, OWNER)
        tenant, user = session.get_one(Tenant, tenant_id), session.get_one(User, user_id)
        provision(session, tenant, user, password)
    return tenant_id
