"""Events: one row in the outbox, written in the transaction of the change it tells of.

`emit` runs nothing. What is committed has happened and will be delivered; what is rolled
back has not. (The transactional outbox; why not signals: a process killed after the commit
would forget them.)
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol, cast

from marshmallow import ValidationError
from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, Session, mapped_column

from treenail import platform, trace
from treenail.clock import utcnow
from treenail.contributions import Event
from treenail.db import Global, Identified, Model, TenantSession, uuid_type
from treenail.schemas import shared


class Puts(Protocol):
    """Sessions of Treenail, which is all there are."""

    def put(self, made: Any) -> Any:
        """Insert a new object now."""


HINTED = "treenail_hinted"


class OutboxEvent(Identified, Global, Model):
    """An event as stored; relayed once its deliveries exist."""

    __tablename__ = "core_events"
    __tenant_column__ = "tenant_id"
    type: Mapped[str] = mapped_column(String(120))
    version: Mapped[int]
    tenant_id: Mapped[str | None] = mapped_column(
        uuid_type(), ForeignKey("core_tenants.id", ondelete="CASCADE"), index=True
    )
    actor_id: Mapped[str | None] = mapped_column(String(64))
    subject: Mapped[str | None] = mapped_column(String(200))
    data: Mapped[dict[str, Any]]
    request_id: Mapped[str | None] = mapped_column(String(128))
    occurred_at: Mapped[datetime] = mapped_column(default=utcnow)
    relayed_at: Mapped[datetime | None] = mapped_column()
    # Relayed by the null column, never by "id > last seen": that loses a slow transaction's row.
    __table_args__ = (
        Index(
            "ix_core_events_unrelayed",
            "id",
            sqlite_where=relayed_at.is_(None),
            postgresql_where=relayed_at.is_(None),
        ),
    )

    def event(self) -> Event:
        """The event as subscribers see it."""
        return event_of(self)


def event_of(row: Any) -> Event:
    """The event that a row of the outbox tells of, as subscribers see it."""
    return Event(
        row.id,
        row.type,
        row.tenant_id,
        row.actor_id,
        row.subject,
        row.data,
        row.occurred_at,
        row.request_id,
    )


def emit(
    session: Session,
    name: str,
    data: Mapping[str, Any],
    *,
    subject: str | None = None,
    tenant_id: str | None = None,
    outlives_tenant: bool = False,
) -> str:
    """Write an event into the caller's transaction; returns its id.

    In a tenant's session the tenant is that session's, unless the event ``outlives_tenant``:
    then it is nobody's, as a tenant's events go with it. Raises `ValueError` for a type
    nobody declared or data that doesn't fit its schema: both are programming errors.
    """
    kind = platform.current().event_types.get(name)
    if kind is None:
        raise ValueError(f"no plugin declares the event type {name}")
    try:
        schema = shared(kind.schema)
        stored = schema.dump(schema.load(dict(data)))
    except ValidationError as error:
        raise ValueError(f"{name}: {error}") from None
    if isinstance(session, TenantSession):
        tenant_id = None if outlives_tenant else session.tenant_id
    cause = trace.current()
    event = OutboxEvent(
        type=name,
        version=kind.version,
        tenant_id=tenant_id,
        actor_id=cause.actor_id,
        subject=subject,
        data=stored,
        request_id=cause.request_id,
    )
    cast(Puts, session).put(event)
    session.info[HINTED] = True
    return event.id
