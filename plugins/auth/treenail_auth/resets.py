"""Forgotten passwords: a token by mail, good for one new password.

Asking writes the same rows for every address and looks at no account; whether there is one
is found out later, by a subscriber, so that neither the answer nor its time can tell.
"""

from sqlalchemy.orm import Session
from treenail import mail
from treenail.contributions import Delivery
from treenail.db import system_session
from treenail.events import emit
from treenail.models import User

from treenail_auth import credentials, emails, sessions, tickets
from treenail_auth.models import Password, Ticket

FORGOTTEN = "password.forgotten"
RESET = "password_reset"


def ask(email: str) -> None:
    """Note that somebody wants a new password."""
    with system_session("forgotten password") as session:
        emit(session, FORGOTTEN, {"ticketId": tickets.note(session, tickets.FORGOT, email)})


def mail_token(delivery: Delivery) -> None:
    """The subscriber: mail the person a token, if the address is anybody's."""
    with system_session("forgotten password") as session:
        noted = session.get(Ticket, delivery.event.data["ticketId"], with_for_update=True)
        if noted is None:
            return  # delivered once already
        session.delete(noted)
        user = emails.find(session, noted.email or "")
        if user is not None:
            _mail_token(session, user)


def reset(token: str, password: str) -> None:
    """Give a person a new password; whoever reads their mail is them, so it is verified.

    Ends every session. The second factor stays. Raises `Invalid` for a token that is no good
    or a password that is refused; the token is then still good.
    """
    with system_session("reset password", read_only=True) as session:
        user = session.get_one(User, tickets.look(session, tickets.RESET, token).user_id)
    hashed = credentials.hash_new(password, user.email, user.name)
    with system_session("reset password") as session:
        session.get(Password, user.id, with_for_update=True)  # before tickets, as everywhere
        tickets.redeem(session, tickets.RESET, token)
        user = session.get_one(User, user.id)
        credentials.replace(session, user, hashed)
        emails.mark_verified(session, user)
        sessions.end_all(session, user.id, RESET)


def _mail_token(session: Session, user: User) -> None:
    token = tickets.issue(session, tickets.RESET, user.id)
    mail.send_template(
        session,
        user.email,
        "auth_reset_password",
        link=mail.link(f"/reset-password?token={token}"),
        minutes=int(tickets.RESET.lifetime.total_seconds() / 60),
    )
