"""The chain: what each record's hash covers, and how its end is signed.

A record's hash is SHA-256 over the lines of `COVERED`, joined by a line feed; the first is the
hash of the record before. No line holds a line feed (JSON escapes it), so no two records have
the same lines. The canonical JSON is RFC 8785's for what stands in it: sorted keys, no white
space, UTF-8, integers.
"""

import functools
import hashlib
import operator
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import ColumnElement, LargeBinary, String, cast, func, literal
from treenail.crypto import derive

from treenail_audit.models import Record

FIRST = "0" * 64
"""What the first record is linked to."""
COVERED = (
    *("prev_hash", "tenant_id", "seq", "id", "occurred_at", "actor_id", "action"),
    *("resource_type", "resource_id", "outcome", "times", "canonical", "personal"),
)


def canonical(document: Mapping[str, Any]) -> bytes:
    """The one text of a document."""
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


def digest(row: Mapping[str, Any]) -> str:
    """The hash of a record with these columns."""
    lines = "\n".join([str(row[name]) for name in COVERED])
    return hashlib.sha256(lines.encode()).hexdigest()


def lines(dialect: str, tenant_id: str) -> ColumnElement[bytes]:
    """The same lines as an expression over `Record`, in UTF-8.

    As bytes, because what was tampered with may be no text any more.
    """
    parts: list[Any] = []
    for name in COVERED:
        column = getattr(Record, name)
        if column is Record.tenant_id:
            parts[-1] = literal(f"\n{tenant_id}\n")  # a third of the time goes on joining
        else:
            is_text = isinstance(column.type, String)
            parts += [column if is_text else cast(column, String), literal("\n")]
    return stored(dialect, functools.reduce(operator.add, parts[:-1]))


def stored(dialect: str, text: Any) -> ColumnElement[bytes]:
    """Text as the bytes that are stored."""
    return func.convert_to(text, "UTF8") if dialect == "postgresql" else cast(text, LargeBinary)


@dataclass(frozen=True)
class Statement:
    """What a checkpoint says: at this moment the chain ended here."""

    tenant_id: str
    seq: int
    hash: str
    signed_at: str

    def text(self) -> bytes:
        """What is signed."""
        return canonical(asdict(self))


class Signer:
    """Signs with Ed25519, by a key that the database doesn't know: made of the secret."""

    def __init__(self, secret: str) -> None:
        seed = derive(secret, "treenail.audit.checkpoint")
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self._public = self._key.public_key()
        self.public_key = self._public.public_bytes_raw().hex()

    def sign(self, statement: Statement) -> str:
        """The signature, in hexadecimal."""
        return self._key.sign(statement.text()).hex()

    def holds(self, statement: Statement, signature: str) -> bool:
        """Whether the signature is ours, and of just this."""
        try:
            self._public.verify(bytes.fromhex(signature), statement.text())
        except (InvalidSignature, ValueError):
            return False
        return True
