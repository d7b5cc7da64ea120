"""``treenail operators``: the people who run the deployment."""

import secrets

import click
from flask.cli import with_appcontext
from sqlalchemy import select

from treenail import migrate, platform
from treenail.db import system_session, tenant_session
from treenail.errors import Problem
from treenail.ids import uuid7
from treenail.models import OWNER, Tenant
from treenail.provisioning import hash_password, provision
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
    hashed = hash_password(password, email, name)
    with system_session("find operators", read_only=True) as across:
        tenant_id = across.scalar(select(Tenant.id).where(Tenant.kind == "provider"))
    with tenant_session(tenant_id or uuid7()) as session:  # person and tenant, or neither
        user = services.find_user(session, email) or services.create_user(session, email, name)
        if tenant_id is None:
            made = services.found(session, user, "Operators", kind="provider", password_hash=hashed)
            return made.id
        services.join(session, user.id, OWNER)
        provision(session, session.get_one(Tenant, tenant_id), user, hashed)
    return tenant_id
