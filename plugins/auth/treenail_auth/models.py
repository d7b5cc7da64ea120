"""Tables: passwords, and the sessions behind every token."""

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column
from treenail.clock import utcnow
from treenail.db import Global, Identified, Model, uuid_type


class Password(Global, Model):
    """A person's password, hashed; ``changed_at`` stays when only its hash is renewed."""

    __tablename__ = "auth_passwords"
    user_id: Mapped[str] = mapped_column(
        uuid_type(), ForeignKey("core_users.id", ondelete="CASCADE"), primary_key=True
    )
    hash: Mapped[str] = mapped_column(String(100))
    changed_at: Mapped[datetime] = mapped_column(default=utcnow)


class SessionRow(Identified, Global, Model):
    """One log-in, until it ends.

    ``counter`` numbers its refresh tokens: only the one with the present number is good.
    ``auth_time`` and ``amr`` say when and how the person proved who they are (OpenID
    Connect Core 1.0, section 2; the words are RFC 8176's).
    """

    __tablename__ = "auth_sessions"
    user_id: Mapped[str] = mapped_column(
        uuid_type(), ForeignKey("core_users.id", ondelete="CASCADE"), index=True
    )
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    end_reason: Mapped[str | None] = mapped_column(String(40))
    counter: Mapped[int] = mapped_column(default=0)
    rotated_at: Mapped[datetime | None]
    auth_time: Mapped[datetime]
    amr: Mapped[list[str]]
    ip: Mapped[str] = mapped_column(String(64))
    user_agent: Mapped[str] = mapped_column(String(300))

    def is_live(self, now: datetime) -> bool:
        """Whether it has neither ended nor expired."""
        return self.ended_at is None and self.expires_at > now
