"""The plugin's settings, ``TREENAIL_AUTH_<KEY>``."""

from dataclasses import dataclass
from typing import cast

from flask.blueprints import BlueprintSetupState
from marshmallow import fields, validate
from treenail import platform
from treenail.errors import ConfigurationError
from treenail.platform import Platform
from treenail.settings import Section, setting

LEAST_ROUNDS_IN_PRODUCTION = 10


@dataclass(frozen=True)
class AuthSettings(Section):
    """What this plugin can be told."""

    bcrypt_rounds: int = setting(
        fields.Int(validate=validate.Range(4, 16)),
        12,
        "cost of a password's hash, as a power of two; at least 10 in production",
    )
    registration: str = setting(
        fields.Str(validate=validate.OneOf(["open", "invitation", "closed"])),
        "open",
        "who may register: everybody, whoever brings an `invitationToken`, nobody",
    )
    idle_days: int = setting(
        fields.Int(validate=validate.Range(1, 30)),
        14,
        "days after which a session ends that was not renewed; at most it lives for 30",
    )


def current() -> AuthSettings:
    """The settings of the present application."""
    return _of(platform.current())


def check(state: BlueprintSetupState) -> None:
    """Stop the start of a deployment that would not do what its settings promise.

    A production whose hashes are cheap to try, or one for the invited where no plugin invites.
    Raises `ConfigurationError`.
    """
    found: Platform = state.app.extensions["treenail"]
    cheap = _of(found).bcrypt_rounds < LEAST_ROUNDS_IN_PRODUCTION
    if cheap and found.settings.env == "production":
        least = LEAST_ROUNDS_IN_PRODUCTION
        raise ConfigurationError(
            f"TREENAIL_AUTH_BCRYPT_ROUNDS: must be at least {least} in production"
        )
    inviters = found.registry.implementations("is_invited")
    if _of(found).registration == "invitation" and not inviters:
        raise ConfigurationError("TREENAIL_AUTH_REGISTRATION: no enabled plugin knows invitations")


def _of(found: Platform) -> AuthSettings:
    return cast(AuthSettings, found.registry.plugins["auth"].settings)
