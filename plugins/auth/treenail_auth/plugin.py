"""The plugin at a glance."""

from collections.abc import Sequence

from flask import Blueprint, Request
from treenail.contributions import EventType, PeriodicTask, Provisioning
from treenail.errors import Unauthenticated
from treenail.ids import is_id
from treenail.plugin import Plugin, hookimpl
from treenail.principal import Identity

from treenail_auth import accounts, routes, schemas, sessions, tasks, tokens
from treenail_auth.settings import AuthSettings

DAY = 86_400
EXAMPLE_ID = "01890a5d-ac96-774b-bcce-b302099a8057"


class Auth(Plugin):
    """Accounts with passwords, and sessions behind every token."""

    name = "auth"
    version = "0.1.0"
    settings_class = AuthSettings

    @hookimpl
    def blueprints(self) -> Sequence[Blueprint]:
        """``/auth`` and ``/me/sessions``."""
        return [routes.blueprint]

    @hookimpl
    def event_types(self) -> Sequence[EventType]:
        """What happens to accounts and sessions."""
        user = {"userId": EXAMPLE_ID}
        log_in = user | {"sessionId": EXAMPLE_ID, "amr": ["pwd"]}
        ended = user | {"sessionId": EXAMPLE_ID, "reason": sessions.LOGGED_OUT}
        return [
            EventType("user.registered", schemas.UserEvent, "An account was made.", user),
            EventType("user.logged_in", schemas.LogInEvent, "Somebody logged in.", log_in),
            EventType("session.ended", schemas.SessionEvent, "A session was ended.", ended),
        ]

    @hookimpl
    def periodic_tasks(self) -> Sequence[PeriodicTask]:
        """Forgetting old sessions."""
        return [PeriodicTask("purge_sessions", DAY, tasks.purge_sessions)]

    @hookimpl
    def authenticate(self, request: Request) -> Identity | None:
        """The person whose access token is in ``Authorization: Bearer``."""
        credential = request.authorization
        token = credential.token if credential and credential.type == "bearer" else None
        if token is None or not tokens.is_access_token(token):
            return None
        claims = tokens.read_access_token(token)
        identity = sessions.identify(claims["sid"])
        if identity is None or identity.user_id != claims["sub"]:
            raise Unauthenticated("This session has ended.")
        return identity

    @hookimpl
    def resume_session(self, session_id: str) -> Identity | None:
        """The person behind a session, as long as it lives."""
        return sessions.identify(session_id) if is_id(session_id) else None

    @hookimpl
    def provision_tenant(self, provisioning: Provisioning) -> None:
        """Give the owner the password that came with the tenant, unless they have one."""
        if provisioning.password is not None:
            accounts.set_first_password(
                provisioning.session, provisioning.owner.id, provisioning.password
            )
