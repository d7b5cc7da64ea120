"""One's own profile: name, e-mail and password; and proving once more who one is."""

from typing import Any

from sqlalchemy import update
from treenail.clock import utcnow
from treenail.db import SystemSession, system_session
from treenail.errors import Conflict, Invalid
from treenail.ids import is_id
from treenail.models import User
from treenail.principal import Principal, require_fresh

from treenail_auth import credentials, emails, passwords, sessions, throttle, totp
from treenail_auth.models import SessionRow

PASSWORD_CHANGED = "password_changed"  # noqa: S105  a reason


def change(person: Principal, ip: str, changes: dict[str, Any]) -> User:
    """Change what is given: all of it, or on an error nothing.

    ``changes`` may have ``name``, ``email``, and ``password`` with ``current_password``.
    Raises `Forbidden` unless the proof of who it is is fresh (not for a name), `Invalid`.
    """
    if changes.keys() & {"email", "password"}:
        require_fresh(person)
    known = hashed = None
    if "password" in changes:
        known = _check_current(person, ip, changes["current_password"])
        name = changes.get("name", person.name)
        hashed = credentials.hash_new(changes["password"], person.email, name)
    with system_session("change profile") as session:
        user = session.get_one(User, person.user_id)
        user.name = changes.get("name", user.name)
        if known and hashed:
            _replace_password(session, person, known, hashed)
        if "email" in changes:
            emails.ask_to_change(session, user, changes["email"])
        return user


def reauthenticate(person: Principal, ip: str, password: str | None, code: str | None) -> None:
    """Make the session fresh again by a password or a code; raises `Unauthenticated`.

    Raises `Conflict` for a session that another plugin started: only that can renew it.
    """
    if not is_id(person.session_id):
        raise Conflict("This session was not started here.", code="session_of_another")
    tried = throttle.counters("reauthenticate", ip, person.user_id, person.user_id)
    throttle.count(tried)
    known = credentials.find_of(person.user_id)
    if password is not None and not passwords.matches(password, known.hash if known else None):
        raise credentials.wrong()
    with system_session("reauthenticate") as session:
        if password is None and not totp.accept(session, person.user_id, code or ""):
            raise credentials.wrong()
        throttle.forgive(session, tried)
        mine = update(SessionRow).where(SessionRow.id == person.session_id)
        session.execute(mine.values(auth_time=utcnow()))


def _check_current(person: Principal, ip: str, password: str) -> credentials.Known:
    tried = throttle.counters("reauthenticate", ip, person.user_id, person.user_id)
    throttle.count(tried)
    known = credentials.find_of(person.user_id)
    if not passwords.matches(password, known.hash if known else None) or known is None:
        raise Invalid({"currentPassword": ["This is not your password."]})
    with system_session("password was right") as session:
        throttle.forgive(session, tried)
    return known


def _replace_password(
    session: SystemSession, person: Principal, known: credentials.Known, hashed: str
) -> None:
    credentials.lock(session, known)
    credentials.replace(session, session.get_one(User, person.user_id), hashed)
    sessions.end_all(session, person.user_id, PASSWORD_CHANGED, but=person.session_id)
