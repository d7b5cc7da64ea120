"""The deployment's secrets: from the settings, or in development made once and kept."""

import base64
import dataclasses
import os
import secrets
from pathlib import Path
from typing import Any

from treenail.crypto import parse_key_ring
from treenail.errors import ConfigurationError
from treenail.settings import CoreSettings


def complete(settings: CoreSettings) -> CoreSettings:
    """The settings with every secret present.

    Raises `ConfigurationError` in production when one is missing: a secret made there
    would differ between two hosts.
    """
    made: dict[str, Any] = {}
    for name, make in (("secret_key", _secret_key), ("encryption_keys", _encryption_key)):
        if not getattr(settings, name):
            if settings.env == "production":
                raise ConfigurationError(f"TREENAIL_{name.upper()} is required in production")
            made[name] = _kept(settings.data_dir / "secrets" / name, make())
    settings = dataclasses.replace(settings, **made)
    try:
        parse_key_ring(settings.encryption_keys)
    except ValueError as error:
        raise ConfigurationError(f"TREENAIL_ENCRYPTION_KEYS: {error}") from None
    return settings


def _secret_key() -> str:
    return secrets.token_urlsafe(48)


def _encryption_key() -> str:
    return f"k1:{base64.b64encode(secrets.token_bytes(32)).decode()}"


def _kept(path: Path, fresh: str) -> str:
    """The secret kept at the path; when there is none, this one, for good.

    Written aside and linked into place: two processes that start together agree.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        aside = path.with_suffix(f".{os.getpid()}.{secrets.token_hex(4)}")
        aside.touch(mode=0o600)
        aside.write_text(fresh)
        try:
            os.link(aside, path)
        except FileExistsError:
            pass
        finally:
            aside.unlink()
    return path.read_text()
