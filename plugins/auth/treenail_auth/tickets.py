"""Tickets: one-time tokens of 256 bits, of which only the hash is kept."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.orm import Session
from treenail.clock import utcnow
from treenail.errors import Invalid

from treenail_auth.models import Ticket


@dataclass(frozen=True)
class Purpose:
    """What a ticket is good for, and for how long."""

    name: str
    lifetime: timedelta


VERIFY = Purpose("verify_email", timedelta(days=3))
CONFIRM = Purpose("confirm_email", timedelta(days=3))
FORGOT = Purpose("forgot", timedelta(days=1))
RESET = Purpose("reset", timedelta(minutes=30))
SECOND_FACTOR = Purpose("second_factor", timedelta(minutes=5))
TRIES = 5


def issue(session: Session, purpose: Purpose, user_id: str, email: str | None = None) -> str:
    """A new token; of a person's for the purpose only the newest is good."""
    token = secrets.token_urlsafe(32)
    if purpose is not SECOND_FACTOR:  # two may be logging in at once
        revoke(session, user_id, purpose)
    made = Ticket(
        purpose=purpose.name,
        hash=_hash(token),
        user_id=user_id,
        email=email,
        expires_at=utcnow() + purpose.lifetime,
    )
    session.add(made)
    return token


def note(session: Session, purpose: Purpose, email: str) -> str:
    """Keep an address for a while under a token nobody is given; returns the row's id."""
    made = Ticket(
        purpose=purpose.name,
        hash=secrets.token_bytes(),
        email=email,
        expires_at=utcnow() + purpose.lifetime,
    )
    session.add(made)
    return made.id


def look(session: Session, purpose: Purpose, token: str) -> Ticket:
    """What a token is for, without using it up; raises `Invalid` for one that is no good."""
    found = session.scalar(select(Ticket).where(*_good(purpose, token)))
    if found is None:
        raise _bad()
    return found


def holder(session: Session, purpose: Purpose, token: str) -> str | None:
    """Whose token it is; None for one that is no good."""
    return session.scalar(select(Ticket.user_id).where(*_good(purpose, token)))


def redeem(session: Session, purpose: Purpose, token: str) -> Ticket:
    """Use a token up; raises `Invalid` for one that is unknown, used or expired."""
    # One statement decides: of several that bring the same token, one deletes it.
    used = delete(Ticket).where(*_good(purpose, token))
    found: Ticket | None = session.scalar(used.returning(Ticket))
    if found is None:
        raise _bad()
    return found


def attempt(session: Session, purpose: Purpose, token: str) -> Ticket | None:
    """Count one of five tries with a token; None for one that is no good, or used up."""
    counted = update(Ticket).where(*_good(purpose, token), Ticket.tries < TRIES)
    return session.scalar(counted.values(tries=Ticket.tries + 1).returning(Ticket))


def revoke(session: Session, user_id: str, *purposes: Purpose) -> None:
    """Make a person's outstanding tokens worthless; without a purpose, all of them."""
    found = delete(Ticket).where(Ticket.user_id == user_id)
    if purposes:
        found = found.where(Ticket.purpose.in_([purpose.name for purpose in purposes]))
    session.execute(found)


def _good(purpose: Purpose, token: str) -> tuple[ColumnElement[bool], ...]:
    return Ticket.hash == _hash(token), Ticket.purpose == purpose.name, Ticket.expires_at > utcnow()


def _bad() -> Invalid:
    return Invalid({"token": ["This token can't be used, or not any more."]}, code="bad_token")


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
