"""E-mail addresses: verified by a token that only their reader has, and changed likewise."""

from contextlib import suppress

from email_validator import EmailNotValidError, validate_email
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from treenail import mail
from treenail.clock import utcnow
from treenail.db import system_session
from treenail.errors import Conflict
from treenail.events import emit
from treenail.models import User, email_key
from treenail.tenants import services as tenants

from treenail_auth import sessions, tickets

VERIFIED = "email_verified"


def normal_email(text: str) -> str:
    """The address in its normal form; raises `ValueError` with what is wrong with it.

    Nothing is looked up. Names under ``.test`` (RFC 6761) pass: they are for trying out.
    """
    try:
        found = validate_email(text, check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise ValueError(str(error)) from None
    return found.normalized


def find(session: Session, text: str) -> User | None:
    """The person with an address, however it is spelt."""
    return tenants.find_user(session, likely_email(text))


def likely_email(text: str) -> str:
    """The address in its normal form, or as it is: an operator's may be one that has none."""
    with suppress(ValueError):
        return normal_email(text)
    return text


def ask_to_verify(session: Session, user: User) -> None:
    """Mail the person the token that proves they read their mail."""
    token = tickets.issue(session, tickets.VERIFY, user.id, user.email)
    # Whoever registered may not own the address: no word of theirs goes there.
    mail.send_template(
        session,
        user.email,
        "auth_verify_email",
        link=mail.link(f"/verify-email?token={token}"),
        days=tickets.VERIFY.lifetime.days,
    )


def verify(token: str) -> None:
    """Use a token up and end every session made before: it may be somebody else's.

    Raises `Invalid` for a token that is no good.
    """
    with system_session("verify e-mail") as session:
        ticket = tickets.redeem(session, tickets.VERIFY, token)
        user = session.get_one(User, ticket.user_id)
        mark_verified(session, user)
        sessions.end_all(session, user.id, VERIFIED)


def mark_verified(session: Session, user: User) -> None:
    """Note that the person reads mail at their address."""
    if user.email_verified_at is None:
        user.email_verified_at = utcnow()
        emit(session, "user.email_verified", {"userId": user.id}, subject=user.id)


def ask_to_change(session: Session, user: User, email: str) -> None:
    """Mail the new address the token that makes it the person's, and the old one a notice.

    Says nothing about whether the new one has an account; its owner is told if it has.
    Asked for again, an address that isn't verified gets another token to verify it.
    """
    if email == user.email:
        if user.email_verified_at is None:
            ask_to_verify(session, user)
        return
    mail.send_template(session, user.email, "auth_email_changing", email=email)
    found = tenants.find_user(session, email)
    if found is not None and found.id != user.id:
        tell_known(session, found)
        return
    token = tickets.issue(session, tickets.CONFIRM, user.id, email)
    mail.send_template(
        session,
        email,
        "auth_confirm_email",
        link=mail.link(f"/confirm-email?token={token}"),
        days=tickets.CONFIRM.lifetime.days,
    )


def confirm(token: str) -> None:
    """Make the address the token was sent to the person's.

    Raises `Invalid` for a token that is no good, `Conflict` when the address is taken.
    """
    try:
        with system_session("confirm e-mail") as session:
            ticket = tickets.redeem(session, tickets.CONFIRM, token)
            user = session.get_one(User, ticket.user_id)
            user.email = ticket.email or user.email
            user.email_key = email_key(user.email)
            user.email_verified_at = utcnow()
            tickets.revoke(session, user.id)  # what lies in the old mailbox
            emit(session, "user.email_changed", {"userId": user.id}, subject=user.id)
    except IntegrityError:
        raise Conflict("This e-mail has an account by now.", code="email_taken") from None


def tell_known(session: Session, user: User) -> None:
    """Mail somebody who has an account that their address was given for another."""
    mail.send_template(session, user.email, "auth_known_email", link=mail.link("/"))
