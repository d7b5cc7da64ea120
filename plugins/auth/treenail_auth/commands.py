"""``treenail sessions``: what an operator can do about log-ins."""

import click
from flask.cli import with_appcontext
from sqlalchemy import select
from treenail.clock import utcnow
from treenail.db import system_session

from treenail_auth import emails, sessions
from treenail_auth.models import SessionRow

BY_OPERATOR = "ended_by_operator"


@click.group("sessions")
def group() -> None:
    """Where people are logged in."""


@group.command("end")
@click.option("--email", help="Whose sessions.")
@click.option("--everybody", is_flag=True, help="All there are.")
@with_appcontext
def end_sessions(email: str | None, everybody: bool) -> None:
    """End a person's sessions, or everybody's: their tokens are dead at once."""
    if bool(email) == everybody:
        raise click.UsageError("Say either --email or --everybody.")
    count = sum(_end_all(user_id) for user_id in _users(email))
    click.echo(f"{count} sessions ended")


def _users(email: str | None) -> list[str]:
    with system_session("whose sessions to end", read_only=True) as session:
        if email is None:
            live = SessionRow.ended_at.is_(None), SessionRow.expires_at > utcnow()
            return list(session.scalars(select(SessionRow.user_id).where(*live).distinct()))
        user = emails.find(session, email)
        if user is None:
            raise click.ClickException("Nobody has this e-mail.")
        return [user.id]


def _end_all(user_id: str) -> int:
    """In a transaction per person: everybody's together would hold up all others."""
    with system_session("end sessions") as session:
        return sessions.end_all(session, user_id, BY_OPERATOR)
