"""What is personal in a record, under a key of the person's own: without it, nobody's."""

import base64
import os
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import delete, select
from sqlalchemy.orm import Session
from treenail.crypto import NONCE_BYTES

from treenail_audit.models import SubjectKey

KEY_BITS = 256


class Keys:
    """The keys of some of a tenant's people."""

    def __init__(self, found: Mapping[str, bytes]) -> None:
        self._ciphers = {subject: AESGCM(key) for subject, key in found.items()}

    def lock(self, subject_id: str, personal: bytes, place: str) -> str:
        """A JSON object as other text, bound to the record it belongs in."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._ciphers[subject_id].encrypt(nonce, personal, place.encode())
        return base64.b64encode(nonce + sealed).decode()

    def unlock(self, subject_id: str, locked: str, place: str) -> dict[str, Any]:
        """The values again; none of a person who was erased."""
        cipher = self._ciphers.get(subject_id)
        try:
            sealed = base64.b64decode(locked)
            opened = cipher and cipher.decrypt(
                sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], place.encode()
            )
        except (InvalidTag, ValueError):
            return {}
        found: dict[str, Any] = orjson.loads(opened) if opened else {}
        return found


def place(tenant_id: str, record_id: str) -> str:
    """What a record's values are bound to."""
    return f"{tenant_id}/{record_id}"


def known(session: Session, tenant_id: str, subject_ids: Iterable[str]) -> dict[str, bytes]:
    """The keys there are."""
    wanted = select(SubjectKey).where(
        SubjectKey.tenant_id == tenant_id, SubjectKey.subject_id.in_(set(subject_ids))
    )
    return {row.subject_id: row.key for row in session.scalars(wanted)}


def keys_to_write_with(session: Session, tenant_id: str, subject_ids: Iterable[str]) -> Keys:
    """The keys of all of them, made where there is none; whoever asks is the tenant's sealer."""
    wanted = set(subject_ids)
    found = known(session, tenant_id, wanted)
    for subject_id in sorted(wanted - found.keys()):
        made = SubjectKey(tenant_id=tenant_id, subject_id=subject_id)
        made.key = found[subject_id] = AESGCM.generate_key(KEY_BITS)
        session.add(made)
    session.flush()
    return Keys(found)


def erase(session: Session, tenant_id: str, subject_id: str) -> bool:
    """Throw a person's key away, for good; whether there was one."""
    mine = delete(SubjectKey).where(
        SubjectKey.tenant_id == tenant_id, SubjectKey.subject_id == subject_id
    )
    return bool(session.execute(mine.returning(SubjectKey.id)).all())
