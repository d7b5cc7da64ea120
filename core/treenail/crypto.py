"""Keys and what is done with them: sealing at rest, and signed tokens.

Everything derives from two secrets of the deployment: ``SECRET_KEY`` (signatures) and
``ENCRYPTION_KEYS`` (data at rest).
"""

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from itsdangerous import BadData, URLSafeTimedSerializer

NONCE_BYTES = 12
VERSION = 1


class SealError(Exception):
    """A sealed value can't be opened: unknown key, or not the row it was sealed for."""


@dataclass(frozen=True)
class KeyRing:
    """Keys by id, 32 bytes each; the first one writes, all of them read."""

    keys: Mapping[str, bytes] = field(repr=False)

    def seal(self, plaintext: bytes, context: str) -> bytes:
        """Encrypt with AES-256-GCM, bound to a context such as ``tenant/table/column/row``.

        The envelope is: version (1 byte), length of the key id (1), key id, nonce (12),
        ciphertext with tag.
        """
        key_id = next(iter(self.keys))
        head = bytes((VERSION, len(key_id))) + key_id.encode()
        nonce = os.urandom(NONCE_BYTES)
        sealed = AESGCM(self.keys[key_id]).encrypt(nonce, plaintext, head + context.encode())
        return head + nonce + sealed

    def open(self, envelope: bytes, context: str) -> bytes:
        """The plaintext of an envelope; raises `SealError`."""
        end = 2 + envelope[1] if len(envelope) > 1 else 0
        head, nonce = envelope[:end], envelope[end : end + NONCE_BYTES]
        key = self.keys.get(head[2:].decode(errors="replace"))
        if key is None or head[0] != VERSION:
            raise SealError("sealed with a key that is not on the ring")
        try:
            return AESGCM(key).decrypt(
                nonce, envelope[end + NONCE_BYTES :], head + context.encode()
            )
        except (InvalidTag, ValueError) as error:
            raise SealError("not sealed for this place") from error


def parse_key_ring(text: str) -> KeyRing:
    """Read ``id:base64,id:base64``; raises `ValueError` with what is wrong."""
    keys: dict[str, bytes] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        key_id, separator, encoded = item.partition(":")
        if not separator or not key_id.isascii() or not 0 < len(key_id) <= 64:
            raise ValueError("each key is written id:base64")
        if key_id in keys:
            raise ValueError(f"there are two keys {key_id}")
        keys[key_id] = base64.b64decode(encoded, validate=True)
        if len(keys[key_id]) != 32:
            raise ValueError(f"key {key_id} is not 32 bytes long")
    if not keys:
        raise ValueError("there is no key")
    return KeyRing(keys)


def derive(secret: str, purpose: str, length: int = 32) -> bytes:
    """A key for one purpose (HKDF-SHA256, RFC 5869), so that no key serves two."""
    return HKDF(SHA256(), length, salt=None, info=purpose.encode()).derive(secret.encode())


class BadToken(Exception):
    """A signed token is damaged, expired or made for another purpose."""


def sign(secret: str, purpose: str, payload: Mapping[str, Any]) -> str:
    """A URL-safe token that carries the payload (JSON types) and its time of signing."""
    return _serializer(secret, purpose).dumps(dict(payload))


def unsign(secret: str, purpose: str, token: str, max_age: int) -> dict[str, Any]:
    """The payload of a token at most ``max_age`` seconds old; raises `BadToken`."""
    try:
        payload: dict[str, Any] = _serializer(secret, purpose).loads(token, max_age=max_age)
    except BadData as error:
        raise BadToken(str(error)) from error
    return payload


def _serializer(secret: str, purpose: str) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(
        derive(secret, "treenail.sign"), salt=purpose, signer_kwargs={"key_derivation": "hmac"}
    )
