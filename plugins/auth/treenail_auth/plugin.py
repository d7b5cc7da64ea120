"""The plugin at a glance."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
from flask import Blueprint, Request
from sqlalchemy.orm import Session
from treenail.contributions import (
    EventType,
    Leftover,
    PeriodicTask,
    Provisioning,
    Purged,
    Subscription,
)
from treenail.errors import Unauthenticated
from treenail.ids import is_id
from treenail.models import User
from treenail.plugin import Plugin, hookimpl
from treenail.principal import Identity, Principal

from treenail_auth import (
    commands,
    credentials,
    own_routes,
    resets,
    routes,
    schemas,
    sessions,
    tasks,
    tokens,
    totp,
)
from treenail_auth.hookspecs import AuthSpec
from treenail_auth.settings import AuthSettings

HOUR, DAY = 3_600, 86_400
EXAMPLE_ID = "01890a5d-ac96-774b-bcce-b302099a8057"
CHANGES = {
    "user.email_verified": "Somebody showed that they read their mail.",
    "user.email_changed": "Somebody has another e-mail address.",
    "user.password_changed": "A password was changed or reset.",
    "user.totp_enabled": "A second factor was switched on.",
    "user.totp_disabled": "A second factor was switched off.",
    "user.recovery_code_used": "A recovery code stood in for the second factor.",
}


class Auth(Plugin):
    """Accounts with passwords and second factors, and sessions behind every token."""

    name = "auth"
    version = "0.1.0"
    settings_class = AuthSettings
    hookspecs = AuthSpec

    @hookimpl
    def blueprints(self) -> Sequence[Blueprint]:
        """``/auth``, and what is one's own under ``/me``."""
        return [routes.blueprint, own_routes.blueprint]

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
            *(EventType(name, schemas.UserEvent, text, user) for name, text in CHANGES.items()),
            EventType(
                resets.FORGOTTEN,
                schemas.TicketEvent,
                "Somebody wants a new password.",
                {"ticketId": EXAMPLE_ID},
                internal=True,
            ),
        ]

    @hookimpl
    def subscriptions(self) -> Sequence[Subscription]:
        """Mailing whoever forgot their password."""
        return [Subscription("forgotten_passwords", (resets.FORGOTTEN,), resets.mail_token)]

    @hookimpl
    def periodic_tasks(self) -> Sequence[PeriodicTask]:
        """Forgetting what is over."""
        return [
            PeriodicTask("purge_sessions", DAY, tasks.purge_sessions),
            PeriodicTask("purge_tickets", HOUR, tasks.purge_tickets),
        ]

    @hookimpl
    def commands(self) -> Sequence[click.Command]:
        """``treenail sessions``."""
        return [commands.group]

    @hookimpl
    def authenticate(self, request: Request) -> Identity | None:
        """The person whose access token is in ``Authorization: Bearer``."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not tokens.is_access_token(token := token.strip()):
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
    def hash_password(self, password: str, about: Sequence[str]) -> str:
        """The hash of a password that is good enough."""
        return credentials.hash_new(password, *about)

    @hookimpl
    def provision_tenant(self, provisioning: Provisioning) -> None:
        """Give the owner the password that came with the tenant, unless they have one."""
        hashed = provisioning.password_hash
        if hashed is not None:
            credentials.set_first(provisioning.session, provisioning.owner, hashed)

    @hookimpl
    def describe_principal(self, session: Session, principal: Principal) -> Mapping[str, Any]:
        """Whether the e-mail is verified and a second factor on."""
        user = session.get_one(User, principal.user_id)
        return {
            "emailVerified": user.email_verified_at is not None,
            "totpEnabled": totp.is_on(session, user.id),
        }

    @hookimpl
    def leftovers(self, purged: Purged) -> Iterable[Leftover]:
        """Where its sessions were at work."""
        return sessions.leftovers() if purged.plugin == self.name else ()
