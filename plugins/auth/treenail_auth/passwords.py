"""Hashing passwords: bcrypt after a keyed pre-hash, a bounded number at a time.

bcrypt takes no more than 72 bytes; the pre-hash lets every byte of a longer password count,
and its key (a pepper that is not in the database) makes stolen hashes useless alone.
"""

import base64
import hashlib
import hmac
import os
from threading import BoundedSemaphore

import bcrypt
from treenail import platform
from treenail.crypto import derive
from treenail.turns import aside

from treenail_auth import settings

# A hash takes a processor for a quarter of a second: more at a time than there are
# processors would only make each slower, and everything else with them.
SLOTS = BoundedSemaphore(os.cpu_count() or 1)


def hash_password(password: str) -> str:
    """A new hash, salted; takes about 250 ms."""
    salt = bcrypt.gensalt(settings.current().bcrypt_rounds)
    with aside(), SLOTS:
        return bcrypt.hashpw(_prehash(password), salt).decode()


def matches(password: str, known: str | None) -> bool:
    """Whether it is the password behind the hash; as slow where there is no hash."""
    against = known or _nobodys_hash()
    with aside(), SLOTS:
        equal = bcrypt.checkpw(_prehash(password), against.encode())
    return equal and known is not None


def is_outdated(known: str) -> bool:
    """Whether the hash was made at another cost than the present one."""
    return int(known.split("$")[2]) != settings.current().bcrypt_rounds


def _nobodys_hash() -> str:
    """A hash of the real cost that no password has (the digest is not a possible one)."""
    return bcrypt.gensalt(settings.current().bcrypt_rounds).decode() + "." * 31


def _prehash(password: str) -> bytes:
    pepper = derive(platform.current().settings.secret_key, "treenail.auth.password")
    digest = hmac.digest(pepper, password.encode(), hashlib.sha256)
    return base64.b64encode(digest)
