"""``/me``: one's own profile, sessions and second factor."""

from dataclasses import replace
from typing import Any

from flask import Blueprint
from treenail.db import system_session
from treenail.errors import NotFound
from treenail.tenants import principals
from treenail.tenants.schemas import Me
from treenail.web import (
    Page,
    PageRequest,
    authenticated,
    endpoint,
    fresh,
    paginate,
    principal,
)

from treenail_auth import profile, schemas, sessions, totp
from treenail_auth.models import SessionRow
from treenail_auth.routes import address

blueprint = Blueprint("auth_own", __name__)


@blueprint.patch("/me")
@endpoint(authenticated, body=schemas.ProfileChange, answers=Me)
def change_profile(body: dict[str, Any]) -> dict[str, Any]:
    """Change one's name, password, or (once the new address confirms it) e-mail."""
    user = profile.change(principal(), address(), body)
    with system_session("describe principal", read_only=True) as session:
        return {"user": principals.describe(session, replace(principal(), name=user.name))}


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


@blueprint.post("/me/totp")
@endpoint(fresh(authenticated), answers=schemas.EnrolmentSchema)
def enrol_authenticator() -> totp.Enrolment:
    """Get what an authenticator app is set up with; nothing changes until it is confirmed."""
    return totp.enrol(principal().user_id)


@blueprint.post("/me/totp/confirm")
@endpoint(fresh(authenticated), body=schemas.FirstCode, answers=schemas.RecoveryCodes)
def confirm_authenticator(body: dict[str, Any]) -> dict[str, list[str]]:
    """Switch the second factor on with the app's first code; ends other sessions."""
    person = principal()
    return {"recovery_codes": totp.confirm(person.user_id, person.session_id, body["code"])}


@blueprint.delete("/me/totp")
@endpoint(fresh(authenticated))
def remove_authenticator() -> None:
    """Switch the second factor off; ends other sessions."""
    totp.remove(principal().user_id, principal().session_id)


def _shown(row: SessionRow) -> dict[str, Any]:
    return {**vars(row), "current": row.id == principal().session_id}
