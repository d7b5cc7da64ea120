"""Passwords of share links, hashed with scrypt (RFC 7914).

Not bcrypt, as for accounts: that would bring auth's dependency and its 72-byte limit into a
plugin that does without both. scrypt is in the standard library and as hard to guess at.
"""

import hashlib
import hmac
import os
from threading import BoundedSemaphore

COST, BLOCK = 2**14, 8
"""16 MiB and about 40 ms a guess."""
SALT_BYTES = 16
SLOTS = BoundedSemaphore(os.cpu_count() or 1)  # more at a time only take memory


def hash_password(password: str) -> bytes:
    """A new salt, and the hash with it."""
    salt = os.urandom(SALT_BYTES)
    return salt + _scrypt(password, salt)


def matches(password: str, known: bytes) -> bool:
    """Whether it is the password behind the hash."""
    salt, digest = known[:SALT_BYTES], known[SALT_BYTES:]
    return hmac.compare_digest(_scrypt(password, salt), digest)


def _scrypt(password: str, salt: bytes) -> bytes:
    with SLOTS:
        return hashlib.scrypt(password.encode(), salt=salt, n=COST, r=BLOCK, p=1, dklen=32)
