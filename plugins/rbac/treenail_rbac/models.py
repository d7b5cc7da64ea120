"""Grants of roles on resources, invitations into a tenant, and the tenant's own roles."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship
from treenail.clock import utcnow
from treenail.db import Identified, Model, Tenanted, tenant_foreign_key, uuid_type
from treenail.models import User


class Grant(Identified, Tenanted, Model):
    """A role given to a person on one resource; the resource is any plugin's."""

    __tablename__ = "rbac_grants"
    __table_args__ = (
        UniqueConstraint("tenant_id", "user_id", "resource_type", "resource_id"),
        UniqueConstraint("tenant_id", "id"),
        Index("ix_rbac_grants_resource", "tenant_id", "resource_type", "resource_id"),
    )
    user_id: Mapped[str] = mapped_column(
        uuid_type(), ForeignKey("core_users.id", ondelete="CASCADE")
    )
    resource_type: Mapped[str] = mapped_column(String(80))
    resource_id: Mapped[str] = mapped_column(uuid_type())
    role: Mapped[str] = mapped_column(String(80))
    granted_by: Mapped[str] = mapped_column(uuid_type())
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    user: Mapped[User] = relationship(lazy="raise")


class Invitation(Identified, Tenanted, Model):
    """An offer of membership to an address; its token went by mail, only its hash is here."""

    __tablename__ = "rbac_invitations"
    __table_args__ = (UniqueConstraint("tenant_id", "id"),)
    email: Mapped[str] = mapped_column(String(320))
    email_key: Mapped[str] = mapped_column(String(640))
    role: Mapped[str] = mapped_column(String(80))
    spaces: Mapped[list[str] | None]
    workspace_id: Mapped[str | None] = mapped_column(uuid_type())
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    invited_by: Mapped[str] = mapped_column(uuid_type())
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    expires_at: Mapped[datetime]
    accepted_at: Mapped[datetime | None]


class Role(Identified, Tenanted, Model):
    """A role a tenant made for itself, to be had in the tenant or on resources of a type."""

    __tablename__ = "rbac_roles"
    __table_args__ = (
        UniqueConstraint("tenant_id", "resource_type", "name"),
        UniqueConstraint("tenant_id", "id"),
    )
    name: Mapped[str] = mapped_column(String(80))
    resource_type: Mapped[str] = mapped_column(String(80))
    created_by: Mapped[str] = mapped_column(uuid_type())
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    holdings: Mapped[list["Holding"]] = relationship(
        lazy="selectin", cascade="all, delete-orphan", passive_deletes=True
    )
    built_in = False

    @property
    def permissions(self) -> list[str]:
        """What it holds, sorted."""
        return sorted(holding.permission for holding in self.holdings)


class Holding(Identified, Tenanted, Model):
    """A permission that a role holds; a row of its own, so that rules can join it."""

    __tablename__ = "rbac_role_permissions"
    __table_args__ = (
        UniqueConstraint("tenant_id", "role_id", "permission"),
        tenant_foreign_key("role_id", "rbac_roles"),
    )
    role_id: Mapped[str] = mapped_column(uuid_type())
    permission: Mapped[str] = mapped_column(String(120))
