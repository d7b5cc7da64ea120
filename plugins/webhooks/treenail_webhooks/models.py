"""Endpoints, and what came of each request to them."""

from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import JSON, Boolean, ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column
from treenail.clock import utcnow
from treenail.db import Identified, Model, Sealed, Tenanted, tenant_foreign_key, uuid_type
from treenail.db.sealed import sealed_column

from treenail_webhooks import urls

SCHEDULE = (5.0, 60.0, 600.0, 3600.0)
"""Seconds before each retry, where an endpoint says nothing else."""
BY_HAND, GONE, FAILING = "by_hand", "gone", "failing"
"""Why an endpoint is disabled: somebody did it, it answered 410, it failed for days."""


class Endpoint(Identified, Tenanted, Model):
    """Where a tenant wants its events told, and how.

    ``failing_since`` is the first failure after the last success; ``held_since`` the moment
    from which on events may not have been told, because it was disabled.
    """

    __tablename__ = "webhooks_endpoints"
    __table_args__ = (UniqueConstraint("tenant_id", "id"),)
    url: Mapped[str] = mapped_column(Text)
    description: Mapped[str | None] = mapped_column(Text)
    events: Mapped[list[str]]
    schedule: Mapped[list[float]] = mapped_column(JSON)
    fifo: Mapped[bool] = mapped_column(Boolean, default=False)
    headers_sealed: Mapped[bytes] = sealed_column()
    secret_sealed: Mapped[bytes] = sealed_column()
    old_secret_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    old_secret_until: Mapped[datetime | None]
    disabled_at: Mapped[datetime | None]
    disabled_reason: Mapped[str | None] = mapped_column(String(20))
    failing_since: Mapped[datetime | None]
    held_since: Mapped[datetime | None]
    created_by: Mapped[str] = mapped_column(uuid_type())
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow)
    headers_bytes = Sealed("headers_sealed")
    secret_bytes = Sealed("secret_sealed")
    old_secret_bytes = Sealed("old_secret_sealed")

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the tenant's own; sealed, as there may be credentials among them."""
        found: dict[str, str] = orjson.loads(self.headers_bytes)
        return found

    @property
    def keys(self) -> list[str]:
        """The secrets that are valid now, the newest first."""
        found = [self.secret_bytes.decode()]
        if self.old_secret_until is not None and self.old_secret_until > utcnow():
            found.append(self.old_secret_bytes.decode())
        return found

    @property
    def enabled(self) -> bool:
        """Whether events go there."""
        return self.disabled_at is None

    def disable(self, reason: str, held_since: datetime) -> None:
        """Send nothing more; does nothing where it is disabled already."""
        if self.disabled_at is None:
            self.disabled_at, self.disabled_reason = utcnow(), reason
            self.held_since = min(self.held_since or held_since, held_since)


class Attempt(Identified, Tenanted, Model):
    """One request: written before it goes out, completed when it is known what came of it.

    One without ``finished_at`` whose delivery is no longer running was interrupted: its
    worker was killed, and nobody knows how far it got.
    """

    __tablename__ = "webhooks_attempts"
    __table_args__ = (
        Index("ix_webhooks_attempts_delivery", "delivery_id", "id"),
        Index("ix_webhooks_attempts_endpoint", "tenant_id", "endpoint_id"),
        tenant_foreign_key("endpoint_id", "webhooks_endpoints"),
    )
    endpoint_id: Mapped[str] = mapped_column(uuid_type())
    delivery_id: Mapped[str] = mapped_column(
        uuid_type(), ForeignKey("core_deliveries.id", ondelete="CASCADE")
    )
    number: Mapped[int]
    started_at: Mapped[datetime] = mapped_column(default=utcnow)
    finished_at: Mapped[datetime | None]
    duration_ms: Mapped[int | None]
    status: Mapped[int | None]
    error: Mapped[str | None] = mapped_column(String(40))
    response_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    response_bytes = Sealed("response_sealed")

    @property
    def response_head(self) -> str | None:
        """The beginning of what the receiver answered."""
        if self.response_sealed is None:
            return None
        return self.response_bytes.decode(errors="replace")


def document(endpoint: Endpoint) -> dict[str, Any]:
    """Of an endpoint, what its events tell: some URLs are as good as a password."""
    return {"endpointId": endpoint.id, "host": urls.parse(endpoint.url).host}
