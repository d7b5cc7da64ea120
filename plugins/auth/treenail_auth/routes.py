"""``/auth``: registering, logging in and out, and what mailed tokens are for."""

from typing import Any

from flask import Blueprint, request
from treenail.models import email_key
from treenail.web import authenticated, endpoint, limited, principal, public

from treenail_auth import (
    accounts,
    emails,
    profile,
    resets,
    schemas,
    sessions,
    settings,
    throttle,
    tokens,
)

blueprint = Blueprint("auth", __name__)
blueprint.record_once(settings.check)
blueprint.record_once(tokens.install)


@blueprint.post("/auth/register")
@endpoint(public, body=schemas.Registration, answers=schemas.Registered, status=201)
def register(body: dict[str, Any]) -> dict[str, Any]:
    """Make an account; a known e-mail gets the same answer, and that person a mail."""
    invitation = body.get("invitation_token")
    accounts.register(body["email"], body["password"], body["name"], invitation, address())
    return {"user": body}


@blueprint.post("/auth/login")
@endpoint(public, body=schemas.LogIn, answers=schemas.LoggedIn)
def log_in(body: dict[str, Any]) -> accounts.LoggedIn | accounts.SecondFactorWanted:
    """Start a session with e-mail and password, or learn that a code is wanted."""
    return accounts.log_in(body["email"], body["password"], _device())


@blueprint.post("/auth/mfa/verify")
@endpoint(public, body=schemas.SecondFactor, answers=schemas.LoggedIn)
def verify_second_factor(body: dict[str, Any]) -> accounts.LoggedIn:
    """Start the session that a log-in announced, with a code of the app or a recovery code."""
    return accounts.verify_second_factor(body["mfa_token"], body["code"], _device())


@blueprint.post("/auth/refresh")
@endpoint(public, body=schemas.Refresh, answers=schemas.TokenPair)
def refresh(body: dict[str, Any]) -> tokens.Pair:
    """Get the next pair of tokens; each refresh token is good for one."""
    return sessions.refresh(body["refresh_token"])


@blueprint.post("/auth/logout")
@endpoint(authenticated)
def log_out() -> None:
    """End this session; both its tokens are dead at once."""
    sessions.end_own(principal().user_id, principal().session_id, sessions.LOGGED_OUT)


@blueprint.post("/auth/reauthenticate")
@endpoint(authenticated, body=schemas.Reauthentication)
def reauthenticate(body: dict[str, Any]) -> None:
    """Prove once more who one is: for ten minutes sensitive acts are open to this session."""
    profile.reauthenticate(principal(), address(), body.get("password"), body.get("code"))


@blueprint.post("/auth/verify-email")
@endpoint(public, body=schemas.MailedToken)
def verify_email(body: dict[str, Any]) -> None:
    """Show that one reads mail at one's address; ends every session made before."""
    emails.verify(body["token"])


@blueprint.post("/auth/confirm-email")
@endpoint(public, body=schemas.MailedToken)
def confirm_email(body: dict[str, Any]) -> None:
    """Make the address that the token was mailed to one's own."""
    emails.confirm(body["token"])


@blueprint.post("/auth/password/forgot")
@endpoint(limited(public, "60/hour"), body=schemas.Forgot, status=202)
def forgot_password(body: dict[str, Any]) -> None:
    """Have a token mailed that sets a new password, if the address has an account."""
    account = email_key(emails.likely_email(body["email"]))
    throttle.count(throttle.counters("forgot", address(), account))
    resets.ask(body["email"])


@blueprint.post("/auth/password/reset")
@endpoint(public, body=schemas.Reset)
def reset_password(body: dict[str, Any]) -> None:
    """Set a new password with a mailed token; ends every session."""
    resets.reset(body["token"], body["password"])


def address() -> str:
    """The client's address, as throttling and the list of sessions see it."""
    return request.remote_addr or ""


def _device() -> sessions.Device:
    return sessions.Device(address(), request.user_agent.string)
