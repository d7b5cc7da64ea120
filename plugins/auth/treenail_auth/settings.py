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


def current() -> AuthSettings:
    """The settings of the present application."""
    return _of(platform.current())


def check(state: BlueprintSetupState) -> None:
    """Stop the start of a production whose hashes would be cheap to try.

    Raises `ConfigurationError`.
    """
    found: Platform = state.app.extensions["treenail"]
    cheap = _of(found).bcrypt_rounds < LEAST_ROUNDS_IN_PRODUCTION
    if cheap and found.settings.env == "production":
        least = LEAST_ROUNDS_IN_PRODUCTION
        raise ConfigurationError(
            f"TREENAIL_AUTH_BCRYPT_ROUNDS: must be at least {least} in production"
        )


def _of(found: Platform) -> AuthSettings:
    return cast(AuthSettings, found.registry.plugins["auth"].settings)
