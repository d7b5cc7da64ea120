"""The core's own tables: people, tenants, and who belongs where."""

import unicodedata
from datetime import datetime

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from treenail.clock import utcnow
from treenail.db import Global, Identified, Model, Tenanted, uuid_type

SPACES = {"customer": ["client", "accounting"], "provider": ["provider", "developer"]}
"""The spaces a tenant of each kind has; the first is where its members land."""

OWNER = "owner"


def email_key(email: str) -> str:
    """The form in which two spellings of one address are equal (NFKC, case folded)."""
    return unicodedata.normalize("NFKC", email).casefold()


class User(Identified, Global, Model):
    """A person, across tenants; credentials are a plugin's."""

    __tablename__ = "core_users"
    email: Mapped[str] = mapped_column(String(320))
    email_key: Mapped[str] = mapped_column(String(640), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    email_verified_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class Tenant(Identified, Global, Model):
    """An organisation; everything a customer has belongs to one."""

    __tablename__ = "core_tenants"
    __tenant_column__ = "id"
    name: Mapped[str] = mapped_column(String(200))
    kind: Mapped[str] = mapped_column(String(20), default="customer")
    plan: Mapped[str] = mapped_column(String(40), default="free")
    industry: Mapped[str] = mapped_column(String(80), default="base")
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class Membership(Identified, Tenanted, Model):
    """One person in one tenant: the role's name and the spaces they may enter."""

    __tablename__ = "core_memberships"
    __table_args__ = (UniqueConstraint("tenant_id", "user_id"), UniqueConstraint("tenant_id", "id"))
    user_id: Mapped[str] = mapped_column(
        uuid_type(), ForeignKey("core_users.id", ondelete="CASCADE"), index=True
    )
    role: Mapped[str] = mapped_column(String(80))
    spaces: Mapped[list[str]]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    user: Mapped[User] = relationship(lazy="raise")


class Activation(Global, Model):
    """The tenant and space a session works in, until it activates another."""

    __tablename__ = "core_activations"
    session_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(
        uuid_type(), ForeignKey("core_tenants.id", ondelete="CASCADE")
    )
    space: Mapped[str] = mapped_column(String(40))


class Epoch(Global, Model):
    """A counter per tenant and per person, moved whenever what they may do changes.

    Whoever holds an answer for longer than a request (an open socket, a cache) compares
    it instead of asking everything again.
    """

    __tablename__ = "core_epochs"
    subject_id: Mapped[str] = mapped_column(uuid_type(), primary_key=True)
    value: Mapped[int] = mapped_column(default=1)
