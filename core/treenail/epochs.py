"""Epochs: telling whoever keeps an answer that what somebody may do has changed."""

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from treenail.db.upsert import upsert
from treenail.models import Epoch


def touch(session: Session, *subject_ids: str) -> None:
    """Move the epoch of tenants or people, in the transaction that changes their rights."""
    for subject_id in sorted(set(subject_ids)):  # one order, so that two writers never deadlock
        upsert(session, Epoch, {"subject_id": subject_id}, {"value": Epoch.value + 1})


def read(session: Session, subject_ids: Iterable[str]) -> dict[str, int]:
    """The present epochs; a subject that never changed is absent."""
    rows = session.execute(
        select(Epoch.subject_id, Epoch.value).where(Epoch.subject_id.in_(list(subject_ids)))
    )
    return {row.subject_id: row.value for row in rows}
