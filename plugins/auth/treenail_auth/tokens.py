"""Tokens: access tokens are JWTs that point at a session, refresh tokens number its renewals.

A refresh token is the session's id, a counter and an HMAC over both, in base64url: it needs
no table, and the one with a given number is always the same text (after Supabase's v2).
"""

import base64
import binascii
import hashlib
import hmac
import time
import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from typing import Any, ClassVar, cast

from flask import Flask, current_app
from flask.blueprints import BlueprintSetupState
from flask_jwt_extended import JWTManager, create_access_token, decode_token
from flask_jwt_extended.exceptions import JWTExtendedException
from jwt import PyJWTError
from treenail import platform
from treenail.crypto import derive
from treenail.errors import Unauthenticated

from treenail_auth.models import SessionRow

AUDIENCE = "treenail"
ACCESS_LIFETIME = timedelta(minutes=15)
CLOCK_SKEW = timedelta(seconds=5)
COUNTER_BYTES = 6
SIGNED_BYTES = 16 + COUNTER_BYTES


@dataclass(frozen=True)
class Pair:
    """What a log-in or a refresh answers; ``expires_in`` is the access token's, in seconds."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    token_type: ClassVar[str] = "Bearer"  # noqa: S105  not a secret
    expires_in: ClassVar[int] = int(ACCESS_LIFETIME.total_seconds())


def pair(row: SessionRow) -> Pair:
    """The tokens of a session as it stands now."""
    claims = {"sid": row.id, "amr": row.amr, "auth_time": int(row.auth_time.timestamp())}
    access: str = create_access_token(row.user_id, additional_claims=claims)
    return Pair(access, refresh_token(row.id, row.counter))


def is_access_token(token: str) -> bool:
    """Whether it looks like one of this plugin's: other plugins may bring other bearers."""
    return token.count(".") == 2


def read_access_token(token: str) -> dict[str, Any]:
    """The claims of a token; raises `Unauthenticated` unless it is good and from here."""
    try:
        config = current_app.config
        claims = _verified(config["JWT_SECRET_KEY"], config["JWT_DECODE_ISSUER"], token)
    except (PyJWTError, JWTExtendedException):
        claims = {}
    over = claims.get("exp", 0) + CLOCK_SKEW.total_seconds() <= time.time()
    if over or claims.get("type") != "access":
        raise Unauthenticated("This access token is not valid, or not any more.")
    return claims


@lru_cache(maxsize=4096)
def _verified(key: bytes, issuer: str, token: str) -> dict[str, Any]:
    """The claims of a token that the key signed: a signature that was good once is good.

    What can change with time is looked at each time: its end, and the session behind it.
    """
    claims: dict[str, Any] = decode_token(token)
    return claims


def refresh_token(session_id: str, counter: int) -> str:
    """The session's refresh token with this number."""
    signed = uuid.UUID(session_id).bytes + counter.to_bytes(COUNTER_BYTES, "big")
    return base64.urlsafe_b64encode(signed + _mac(signed)).decode()


def read_refresh_token(token: str) -> tuple[str, int]:
    """The session's id and the number; raises `Unauthenticated` when it wasn't made here."""
    try:
        content = base64.b64decode(token.encode(), altchars=b"-_", validate=True)
    except binascii.Error:
        content = b""
    signed, mac = content[:SIGNED_BYTES], content[SIGNED_BYTES:]
    if not hmac.compare_digest(mac, _mac(signed)):
        raise Unauthenticated("This refresh token is not valid.")
    return str(uuid.UUID(bytes=signed[:16])), int.from_bytes(signed[16:], "big")


class Manager(JWTManager):
    """Flask-JWT-Extended's manager, without error handlers for the whole application.

    They would answer 422 where another plugin's use of PyJWT fails, and not with a problem.
    """

    def _set_error_handler_callbacks(self, app: Flask) -> None:
        pass


def install(state: BlueprintSetupState) -> None:
    """Set Flask-JWT-Extended up on the application."""
    settings = state.app.extensions["treenail"].settings
    issuer = settings.public_url or "treenail"
    state.app.config |= {
        "JWT_SECRET_KEY": derive(settings.secret_key, "treenail.auth.access"),
        "JWT_ALGORITHM": "HS256",
        "JWT_ACCESS_TOKEN_EXPIRES": ACCESS_LIFETIME,
        "JWT_ENCODE_AUDIENCE": AUDIENCE,
        "JWT_DECODE_AUDIENCE": AUDIENCE,
        "JWT_ENCODE_ISSUER": issuer,
        "JWT_DECODE_ISSUER": issuer,
        "JWT_ENCODE_NBF": False,
        "JWT_DECODE_LEEWAY": CLOCK_SKEW,
    }
    Manager(cast(Flask, state.app))


def _mac(signed: bytes) -> bytes:
    key = derive(platform.current().settings.secret_key, "treenail.auth.refresh")
    return hmac.digest(key, signed, hashlib.sha256)
