"""Accounts: registering, and logging in with a password and perhaps a second factor.

Both answer alike, and take as long, whether or not the e-mail is known.
"""

from dataclasses import dataclass, field
from typing import ClassVar

import structlog
from sqlalchemy.exc import IntegrityError
from treenail import platform, trace
from treenail.db import SystemSession, system_session
from treenail.errors import Conflict, Forbidden, Unauthenticated
from treenail.events import emit
from treenail.models import email_key
from treenail.principal import Principal
from treenail.tenants import services as tenants

from treenail_auth import (
    credentials,
    emails,
    passwords,
    sessions,
    settings,
    throttle,
    tickets,
    tokens,
    totp,
)
from treenail_auth.models import Password

PASSWORD, CODE, BOTH = "pwd", "otp", "mfa"
log = structlog.get_logger("treenail.auth")


@dataclass(frozen=True)
class LoggedIn(tokens.Pair):
    """A new session's tokens, who it is, and where an interface starts."""

    user: Principal
    redirect_to: str | None


@dataclass(frozen=True)
class SecondFactorWanted:
    """The password was right; the token says so to `verify_second_factor`."""

    mfa_token: str = field(repr=False)
    mfa_required: ClassVar[bool] = True


def register(email: str, password: str, name: str, invitation: str | None, ip: str) -> None:
    """Make an account; where the e-mail has one, only tell its owner by mail.

    Raises `Forbidden` where the deployment's setting doesn't let this person in.
    """
    throttle.count(throttle.counters("register", ip))
    _check_open(email, invitation)
    hashed = credentials.hash_new(password, email, name)
    try:
        _register(email, hashed, name)
    except (Conflict, IntegrityError):
        _register(email, hashed, name)  # somebody was faster: now it is a known e-mail


def log_in(email: str, password: str, device: sessions.Device) -> LoggedIn | SecondFactorWanted:
    """Start a session, or ask for the second factor.

    Raises `Unauthenticated`, the same for whatever is wrong, and `TooManyRequests`.
    """
    known = credentials.find(email)
    account = email_key(emails.likely_email(email))
    tried = throttle.counters("log_in", device.ip, account, known.user_id if known else None)
    throttle.count(tried)
    if not passwords.matches(password, known.hash if known else None) or known is None:
        raise credentials.wrong()
    hashed = known.hash
    if passwords.is_outdated(hashed):
        hashed = passwords.hash_password(password)
    with system_session("log in") as session:
        credentials.lock(session, known).hash = hashed
        throttle.forgive(session, tried)
        if totp.is_on(session, known.user_id):
            return SecondFactorWanted(tickets.issue(session, tickets.SECOND_FACTOR, known.user_id))
        return _start(session, known.user_id, [PASSWORD], device)


def verify_second_factor(token: str, code: str, device: sessions.Device) -> LoggedIn:
    """Start a session with the token of a log-in and a code; of each only once.

    Raises `Unauthenticated` and `TooManyRequests`.
    """
    with system_session("log in", read_only=True) as session:
        user_id = tickets.holder(session, tickets.SECOND_FACTOR, token)
    tried = throttle.counters("second_factor", device.ip, user_id or "", user_id)
    throttle.count(tried)
    with system_session("log in") as session:
        ticket = tickets.attempt(session, tickets.SECOND_FACTOR, token)
        if ticket and ticket.user_id and totp.accept(session, ticket.user_id, code):
            session.delete(ticket)
            throttle.forgive(session, tried)
            return _start(session, ticket.user_id, [PASSWORD, CODE, BOTH], device)
    if ticket is None:
        raise Unauthenticated("This log-in can't be continued.", code="mfa_token_invalid")
    raise credentials.wrong()


def _check_open(email: str, invitation: str | None) -> None:
    mode = settings.current().registration
    if mode == "closed":
        raise Forbidden("Nobody can register here.", code="registration_closed")
    if mode == "invitation" and not (invitation and _is_invited(invitation, email)):
        raise Forbidden("Registering needs an invitation.", code="invitation_required")


def _is_invited(token: str, email: str) -> bool:
    for plugin, is_invited in platform.current().registry.implementations("is_invited"):
        try:
            if is_invited(token=token, email=email):
                return True
        except Exception:
            log.exception("is_invited_failed", plugin=plugin)
    return False


def _register(email: str, hashed: str, name: str) -> None:
    with system_session("register") as session:
        if found := tenants.find_user(session, email):
            emails.tell_known(session, found)
            return
        user = tenants.create_user(session, email, name)
        session.add(Password(user_id=user.id, hash=hashed))
        emails.ask_to_verify(session, user)
        emit(session, "user.registered", {"userId": user.id}, subject=user.id)


def _start(
    session: SystemSession, user_id: str, amr: list[str], device: sessions.Device
) -> LoggedIn:
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
