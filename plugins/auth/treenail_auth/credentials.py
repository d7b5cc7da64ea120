"""Proving who one is with a password, and replacing it.

No transaction is open while a password is hashed: on SQLite that would keep every other
writer waiting.
"""

from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session
from treenail import mail
from treenail.clock import utcnow
from treenail.db import system_session
from treenail.errors import Unauthenticated
from treenail.events import emit
from treenail.models import User, email_key

from treenail_auth import emails, passwords, strength, tickets
from treenail_auth.models import Password

log = structlog.get_logger("treenail.auth")


@dataclass(frozen=True)
class Known:
    """A person's password, as found before it was looked at."""

    user_id: str
    hash: str
    changed_at: datetime


def find(email: str) -> Known | None:
    """The password behind an e-mail, in any of its spellings."""
    return _find(User.email_key == email_key(emails.likely_email(email)))


def find_of(user_id: str) -> Known | None:
    """A person's password."""
    return _find(User.id == user_id)


def lock(session: Session, known: Known) -> Password:
    """The row, held; raises `Unauthenticated` when it was changed after it was looked at."""
    found = session.get(Password, known.user_id, with_for_update=True)
    if found is None or found.changed_at != known.changed_at:
        raise wrong()
    return found


def hash_new(password: str, *about: str) -> str:
    """The hash of a password that somebody wants to have; raises `Invalid` for a bad one."""
    strength.check(password, *about)
    return passwords.hash_password(password)


def set_first(session: Session, user: User, hashed: str) -> None:
    """Give a person a password unless they have one."""
    if session.get(Password, user.id) is None:
        session.add(Password(user_id=user.id, hash=hashed))


def replace(session: Session, user: User, hashed: str) -> None:
    """Put a new hash in the old one's place, make mailed tokens worthless, tell the person."""
    found = session.get(Password, user.id, with_for_update=True) or Password(user_id=user.id)
    found.hash, found.changed_at = hashed, utcnow()
    session.add(found)
    tickets.revoke(session, user.id)
    mail.send_template(session, user.email, "auth_password_changed")
    emit(session, "user.password_changed", {"userId": user.id}, subject=user.id)


def wrong() -> Unauthenticated:
    """The one answer to whatever is wrong with e-mail, password or code; it is logged."""
    log.warning("authentication_failed")
    return Unauthenticated("E-mail, password or code is wrong.", code="invalid_credentials")


def _find(where: ColumnElement[bool]) -> Known | None:
    columns = select(Password.user_id, Password.hash, Password.changed_at)
    with system_session("look at a password", read_only=True) as session:
        query = columns.join(User, User.id == Password.user_id).where(where)
        row = session.execute(query).one_or_none()
    return Known(*row) if row else None
