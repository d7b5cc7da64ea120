"""Accounts: registering, and logging in with a password.

Both answer alike, and take as long, whether or not the e-mail is known. No transaction is
open while a password is hashed: on SQLite that would keep every other writer waiting.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from email_validator import EmailNotValidError, validate_email
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from treenail import mail, trace
from treenail.db import system_session
from treenail.errors import Conflict, Invalid, Unauthenticated
from treenail.events import emit
from treenail.models import User, email_key
from treenail.principal import Principal
from treenail.tenants import services as tenants

from treenail_auth import passwords, sessions, tokens
from treenail_auth.models import Password

SHORTEST_PASSWORD, LONGEST_PASSWORD = 8, 256
PASSWORD = "pwd"  # noqa: S105  the method's name in RFC 8176
KNOWN_SUBJECT = "You have an account already"
KNOWN_TEXT = """Hello,

somebody, probably you, has just tried to register with this e-mail address at

    {link}

You have an account there already, so nothing was changed: please log in. If it wasn't you,
you need not do anything.
"""


@dataclass(frozen=True)
class LoggedIn(tokens.Pair):
    """A new session's tokens, who it is, and where an interface starts."""

    user: Principal
    redirect_to: str | None


def normal_email(text: str) -> str:
    """The address in its normal form; raises `ValueError` with what is wrong with it.

    Nothing is looked up. Names under ``.test`` (RFC 6761) pass: they are for trying out.
    """
    try:
        found = validate_email(text, check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise ValueError(str(error)) from None
    return found.normalized


def register(email: str, password: str, name: str) -> None:
    """Make an account; where the e-mail has one, only tell its owner by mail."""
    hashed = passwords.hash_password(password)
    try:
        _register(email, hashed, name)
    except (Conflict, IntegrityError):
        _register(email, hashed, name)  # somebody was faster: now it is a known e-mail


def log_in(email: str, password: str, device: sessions.Device) -> LoggedIn:
    """Start a session; raises `Unauthenticated`, the same for whatever is wrong."""
    known = _find(email)
    if not passwords.matches(password, known.hash if known else None) or known is None:
        raise _wrong()
    hashed = known.hash
    if passwords.is_outdated(hashed):
        hashed = passwords.hash_password(password)
    with system_session("log in") as session:
        credential = session.get(Password, known.user_id, with_for_update=True)
        if credential is None or credential.changed_at != known.changed_at:
            raise _wrong()  # it was changed while this one was looked at
        credential.hash = hashed
        return _start(session, known.user_id, [PASSWORD], device)


def set_first_password(session: Session, user_id: str, password: str) -> None:
    """Give a person a password unless they have one; raises `Invalid` for a bad length."""
    if session.get(Password, user_id) is not None:
        return
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        wanted = f"A password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters."
        raise Invalid({"password": [wanted]}, wanted)
    session.add(Password(user_id=user_id, hash=passwords.hash_password(password)))


@dataclass(frozen=True)
class _Known:
    """A person's password, as found before it was looked at."""

    user_id: str
    hash: str
    changed_at: datetime


def _register(email: str, hashed: str, name: str) -> None:
    with system_session("register") as session:
        if found := tenants.find_user(session, email):
            mail.send(session, found.email, KNOWN_SUBJECT, KNOWN_TEXT.format(link=mail.link("/")))
            return
        user = tenants.create_user(session, email, name)
        session.add(Password(user_id=user.id, hash=hashed))
        emit(session, "user.registered", {"userId": user.id}, subject=user.id)


def _find(email: str) -> _Known | None:
    with suppress(ValueError):  # an operator may have been given one that can't register
        email = normal_email(email)
    with system_session("log in", read_only=True) as session:
        row = session.execute(
            select(Password.user_id, Password.hash, Password.changed_at)
            .join(User, User.id == Password.user_id)
            .where(User.email_key == email_key(email))
        ).one_or_none()
    return _Known(*row) if row else None


def _start(session: Session, user_id: str, amr: list[str], device: sessions.Device) -> LoggedIn:
    row = sessions.begin(session, user_id, amr, device)
    person = sessions.workplace(session, user_id, row.id)
    trace.identify(user_id, person.tenant_id)
    emit(
        session,
        "user.logged_in",
        {"userId": user_id, "sessionId": row.id, "amr": amr},
        subject=user_id,
        tenant_id=person.tenant_id,
    )
    pair = tokens.pair(row)
    home = tenants.home(person.tenant_id, person.space) if person.tenant_id else None
    return LoggedIn(pair.access_token, pair.refresh_token, person, home)


def _wrong() -> Unauthenticated:
    return Unauthenticated("E-mail or password is wrong.", code="invalid_credentials")
