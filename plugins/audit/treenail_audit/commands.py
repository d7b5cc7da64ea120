"""``treenail audit``: looking whether the log is whole, and erasing a person from it."""

import json
import sys
from typing import Any

import click
from flask.cli import with_appcontext
from sqlalchemy import select
from treenail.db import system_session
from treenail.models import Tenant
from treenail.schemas import shared

from treenail_audit import sealer, subjects, verification
from treenail_audit.schemas import VerdictSchema
from treenail_audit.verification import Verdict


@click.group("audit")
def group() -> None:
    """The record of who did what."""


@group.command()
@click.option("--tenant", "tenant_id", help="Of this tenant alone.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@with_appcontext
def verify(tenant_id: str | None, as_json: bool) -> None:
    """Look at every record of every tenant; exit 1 if anything is not as it was."""
    progress = _silent if as_json else _show
    verdicts = {}
    for found in _tenants(tenant_id):
        verdicts[found] = verification.verify(found, progress)
        if not as_json:
            click.echo(_line(found, verdicts[found]))
    valid = all(verdict.valid for verdict in verdicts.values())
    if as_json:
        click.echo(json.dumps(_document(valid, verdicts), indent=2))
    sys.exit(0 if valid else 1)


@group.command()
@click.argument("user_id")
@click.option("--tenant", "tenant_id", help="In this tenant alone.")
@with_appcontext
def erase(user_id: str, tenant_id: str | None) -> None:
    """Make USER_ID's addresses and user agents unreadable, for good; the chain stays valid."""
    erased = 0
    for found in _tenants(tenant_id):
        sealer.seal(found)  # what still waits has them in the clear
        with system_session("erase a person") as session:
            erased += subjects.erase(session, found, user_id)
    click.echo(f"erased in {erased} tenants")


def _tenants(tenant_id: str | None) -> list[str]:
    with system_session("tenants with a log", read_only=True) as session:
        found = list(session.scalars(select(Tenant.id).order_by(Tenant.id)))
    if tenant_id is not None and tenant_id not in found:
        raise click.ClickException(f"there is no tenant {tenant_id}")
    return [tenant_id] if tenant_id else found


def _silent(checked: int) -> None:
    pass


def _show(checked: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{checked:,} records", nl=False, err=True)


def _line(tenant_id: str, verdict: Verdict) -> str:
    said = "valid" if verdict.valid else f"BROKEN at record {verdict.first_bad}"
    return f"{tenant_id}: {verdict.checked:,} records, {said}"


def _document(valid: bool, verdicts: dict[str, Verdict]) -> dict[str, Any]:
    schema = shared(VerdictSchema)
    tenants = [{"tenantId": name, **schema.dump(verdict)} for name, verdict in verdicts.items()]
    checked = sum(verdict.checked for verdict in verdicts.values())
    return {"valid": valid, "checked": checked, "tenants": tenants}
