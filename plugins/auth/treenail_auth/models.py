"""Tables: passwords, second factors, one-time tokens, and the sessions behind every token."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column
from treenail.clock import utcnow
from treenail.db import Global, Identified, Model, Sealed, uuid_type
from treenail.db.sealed import sealed_column


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
    ``auth_time`` and ``amr`` say when and how the person last proved who they are (OpenID
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


class Ticket(Identified, Global, Model):
    """A one-time token, by its hash: what it is good for, for whom, and about which address."""

    __tablename__ = "auth_tickets"
    purpose: Mapped[str] = mapped_column(String(20))
    hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    user_id: Mapped[str | None] = mapped_column(
        uuid_type(), ForeignKey("core_users.id", ondelete="CASCADE"), index=True
    )
    email: Mapped[str | None] = mapped_column(String(320))
    tries: Mapped[int] = mapped_column(default=0)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class Authenticator(Identified, Global, Model):
    """A person's authenticator app: its seed, and the last time step whose code was used.

    It counts from ``confirmed_at`` on, when its first code came back.
    """

    __tablename__ = "auth_authenticators"
    user_id: Mapped[str] = mapped_column(
        uuid_type(), ForeignKey("core_users.id", ondelete="CASCADE"), unique=True
    )
    secret_sealed: Mapped[bytes] = sealed_column()
    confirmed_at: Mapped[datetime | None]
    last_step: Mapped[int] = mapped_column(BigInteger, default=0)
    secret = Sealed("secret_sealed")


class RecoveryCode(Identified, Global, Model):
    """A code that stands in for the app once, hashed."""

    __tablename__ = "auth_recovery_codes"
    user_id: Mapped[str] = mapped_column(
        uuid_type(), ForeignKey("core_users.id", ondelete="CASCADE"), index=True
    )
    hash: Mapped[bytes] = mapped_column(LargeBinary)


class Throttle(Global, Model):
    """How often something was tried of late, and until when it is refused."""

    __tablename__ = "auth_throttles"
    key: Mapped[str] = mapped_column(String(80), primary_key=True)
    tries: Mapped[int] = mapped_column(default=1)
    seen_at: Mapped[datetime] = mapped_column(index=True)
    blocked_until: Mapped[datetime | None]
