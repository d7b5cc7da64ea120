"""A plugin that lets tests say who is calling, also where auth is off."""

from collections.abc import Sequence

from flask import Blueprint, Request

from treenail.clock import utcnow
from treenail.errors import Unauthenticated
from treenail.ids import is_id
from treenail.plugin import Plugin, hookimpl
from treenail.principal import Identity

SCHEME = "Test "
SESSION = "test:"


class Injected(Plugin):
    """``Authorization: Test <user id>`` is believed."""

    name = "injected"
    version = "1.0"

    @hookimpl
    def blueprints(self) -> Sequence[Blueprint]:
        """None; who calls is all it tells."""
        return []

    @hookimpl
    def authenticate(self, request: Request) -> Identity | None:
        """The person the header names."""
        header = request.headers.get("Authorization", "")
        if not header.startswith(SCHEME):
            return None
        if not is_id(user_id := header.removeprefix(SCHEME)):
            raise Unauthenticated()
        return Identity(user_id, SESSION + user_id, utcnow())

    @hookimpl
    def resume_session(self, session_id: str) -> Identity | None:
        """The person of a session made by the header."""
        if not session_id.startswith(SESSION):
            return None
        return Identity(session_id.removeprefix(SESSION), session_id, utcnow())
