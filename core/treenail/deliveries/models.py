"""Deliveries as rows: state, due time, lease and attempts live in the database alone."""

from datetime import datetime

from sqlalchemy import (
    ColumnElement,
    ForeignKey,
    Index,
    String,
    Text,
    UniqueConstraint,
    literal_column,
)
from sqlalchemy.orm import Mapped, mapped_column

from treenail.clock import utcnow
from treenail.contributions import Target
from treenail.db import Global, Identified, Model, uuid_type

PENDING, RUNNING, DONE, DEAD = "pending", "running", "done", "dead"
EVERY = "*"
"""The target of a delivery whose targets could not be told yet."""


class DeliveryRow(Identified, Global, Model):
    """One event for one target of one subscription; again for every replay.

    ``attempts`` are all that were begun, ``failures`` those that ended badly: a try that died
    with its worker is none of the schedule's.
    """

    __tablename__ = "core_deliveries"
    event_id: Mapped[str] = mapped_column(
        uuid_type(), ForeignKey("core_events.id", ondelete="CASCADE")
    )
    subscription: Mapped[str] = mapped_column(String(120))
    target: Mapped[str] = mapped_column(String(120), default="")
    status: Mapped[str] = mapped_column(String(20), default=PENDING)
    replay: Mapped[int] = mapped_column(default=0)
    line: Mapped[str | None] = mapped_column(String(250))
    attempts: Mapped[int] = mapped_column(default=0)
    failures: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime] = mapped_column(default=utcnow)
    lease_owner: Mapped[str | None] = mapped_column(String(64))
    last_error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    finished_at: Mapped[datetime | None]
    # While a try runs, due_at is the end of its lease: one index finds both the rows whose
    # turn has come and those whose worker died.
    __table_args__ = (
        UniqueConstraint("event_id", "subscription", "target", "replay"),
        Index(
            "ix_core_deliveries_due",
            "due_at",
            sqlite_where=status.in_([PENDING, RUNNING]) & line.is_(None),
            postgresql_where=status.in_([PENDING, RUNNING]) & line.is_(None),
        ),
        Index(
            "ix_core_deliveries_line",
            "line",
            "id",
            sqlite_where=status.in_([PENDING, RUNNING]) & line.is_not(None),
            postgresql_where=status.in_([PENDING, RUNNING]) & line.is_not(None),
        ),
    )


def is_open(row: type[DeliveryRow] = DeliveryRow) -> ColumnElement[bool]:
    """Pending or running; written out, or SQLite wouldn't see that the partial index fits."""
    return row.status.in_(literal_column(f"'{status}'") for status in (PENDING, RUNNING))


def line_of(subscription: str, target: Target) -> str | None:
    """The line a delivery stands in, where each waits for the one before."""
    return f"{subscription} {target.key}" if target.policy.fifo else None
