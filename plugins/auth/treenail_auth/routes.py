"""``/auth`` and ``/me/sessions``."""

from typing import Any

from flask import Blueprint, request
from treenail.db import system_session
from treenail.errors import NotFound
from treenail.web import Page, PageRequest, authenticated, endpoint, paginate, principal, public

from treenail_auth import accounts, schemas, sessions, settings, tokens
from treenail_auth.models import SessionRow

blueprint = Blueprint("auth", __name__)
blueprint.record_once(settings.check)
blueprint.record_once(tokens.install)


@blueprint.post("/auth/register")
@endpoint(public, body=schemas.Registration, answers=schemas.Registered, status=201)
def register(body: dict[str, Any]) -> dict[str, Any]:
    """Make an account; a known e-mail gets the same answer, and that person a mail."""
    accounts.register(body["email"], body["password"], body["name"])
    return {"user": body}


@blueprint.post("/auth/login")
@endpoint(public, body=schemas.LogIn, answers=schemas.LoggedIn)
def log_in(body: dict[str, Any]) -> accounts.LoggedIn:
    """Start a session with e-mail and password."""
    return accounts.log_in(body["email"], body["password"], _device())


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


@blueprint.get("/me/sessions")
@endpoint(authenticated, answers=schemas.SessionSchema, paged=True)
def list_sessions(page: PageRequest) -> Page[dict[str, Any]]:
    """Where one is logged in."""
    with system_session("sessions of a person", read_only=True) as session:
        found = paginate(session, sessions.own(principal().user_id), SessionRow.id, page)
        return Page([_shown(row) for row in found.items], found.next_cursor)


@blueprint.delete("/me/sessions/<id:session_id>")
@endpoint(authenticated)
def end_session(session_id: str) -> None:
    """End one of one's own sessions."""
    if not sessions.end_own(principal().user_id, session_id, sessions.REVOKED):
        raise NotFound()


def _shown(row: SessionRow) -> dict[str, Any]:
    return {**vars(row), "current": row.id == principal().session_id}


def _device() -> sessions.Device:
    return sessions.Device(request.remote_addr or "", request.user_agent.string)
