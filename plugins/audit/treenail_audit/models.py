"""The tables: what waits to be sealed, the sealed chain, and what proves how far it goes."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, MappedColumn, mapped_column
from treenail.clock import utcnow
from treenail.db import Identified, Model, Sealed, Tenanted, uuid_type
from treenail.db.sealed import sealed_column
from treenail.ids import uuid7


def _plain(length: int) -> String:
    """Text that sorts by code point on both databases."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


def _tenant_key() -> MappedColumn[str]:
    owner = ForeignKey("core_tenants.id", ondelete="CASCADE")
    return mapped_column(uuid_type(), owner, primary_key=True)


class Waiting(Tenanted, Model):
    """An act on record, since the transaction of its change, that isn't sealed yet.

    What comes again and again is counted in ``times`` until ``due_at``.
    """

    __tablename__ = "audit_inbox"
    tenant_id: Mapped[str] = _tenant_key()
    id: Mapped[str] = mapped_column(uuid_type(), primary_key=True, default=uuid7)
    entry: Mapped[bytes] = mapped_column(LargeBinary)
    personal: Mapped[bytes] = mapped_column(LargeBinary)
    due_at: Mapped[datetime | None] = mapped_column()
    times: Mapped[int] = mapped_column(default=1)


class Record(Tenanted, Model):
    """A sealed record: numbered without a gap, linked to the one before; never changed.

    Every column is covered by ``hash`` (`treenail_audit.chain`). Moments are RFC 3339 in UTC
    with milliseconds, which sort by time; what there isn't is empty.
    """

    __tablename__ = "audit_records"
    __table_args__ = (
        Index("ix_audit_records_actor", "tenant_id", "actor_id", "seq"),
        Index("ix_audit_records_resource", "tenant_id", "resource_id", "seq"),
    )
    tenant_id: Mapped[str] = _tenant_key()
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[str] = mapped_column(_plain(36))
    occurred_at: Mapped[str] = mapped_column(_plain(24))
    actor_id: Mapped[str] = mapped_column(_plain(64))
    action: Mapped[str] = mapped_column(_plain(300))
    resource_type: Mapped[str] = mapped_column(_plain(100))
    resource_id: Mapped[str] = mapped_column(_plain(200))
    outcome: Mapped[str] = mapped_column(_plain(10))
    times: Mapped[int]
    prev_hash: Mapped[str] = mapped_column(_plain(64))
    hash: Mapped[str] = mapped_column(_plain(64))
    canonical: Mapped[str] = mapped_column(Text)
    personal: Mapped[str] = mapped_column(Text)


class Head(Tenanted, Model):
    """How far a tenant's chain goes, and how far it is anchored; its lock is the sealer's."""

    __tablename__ = "audit_heads"
    tenant_id: Mapped[str] = _tenant_key()
    seq: Mapped[int] = mapped_column(default=0)
    hash: Mapped[str] = mapped_column(String(64), default="")
    anchored_seq: Mapped[int] = mapped_column(default=0)


class Checkpoint(Tenanted, Model):
    """The signed end of the chain as it once was: the latest of each block of records."""

    __tablename__ = "audit_checkpoints"
    tenant_id: Mapped[str] = _tenant_key()
    block: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    seq: Mapped[int]
    hash: Mapped[str] = mapped_column(String(64))
    signed_at: Mapped[str] = mapped_column(String(24))
    signature: Mapped[str] = mapped_column(String(128))


class SubjectKey(Identified, Tenanted, Model):
    """The key under which a person's address and user agent stand in the records.

    Without it they can't be read any more, and the chain is as valid as before.
    """

    __tablename__ = "audit_subject_keys"
    __table_args__ = (UniqueConstraint("tenant_id", "subject_id"),)
    subject_id: Mapped[str] = mapped_column(_plain(64))
    key_sealed: Mapped[bytes] = sealed_column()
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    key = Sealed("key_sealed")
