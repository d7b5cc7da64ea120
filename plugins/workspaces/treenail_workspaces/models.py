"""Workspaces and the documents in them."""

from datetime import datetime

from sqlalchemy import Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column
from treenail.clock import utcnow
from treenail.db import Identified, Model, Tenanted, tenant_foreign_key, uuid_type

KINDS = ("board", "diagram")
MODES = ("crdt", "server")


class Workspace(Identified, Tenanted, Model):
    """A place for documents, shared by its members."""

    __tablename__ = "workspaces_workspaces"
    __table_args__ = (UniqueConstraint("tenant_id", "id"),)
    name: Mapped[str] = mapped_column(String(200))
    description: Mapped[str | None] = mapped_column(Text)
    created_by: Mapped[str] = mapped_column(uuid_type())
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow)


class Document(Identified, Tenanted, Model):
    """A board or a diagram; what is in it belongs to whoever edits it live."""

    __tablename__ = "workspaces_documents"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        Index("ix_workspaces_documents_workspace", "tenant_id", "workspace_id", "id"),
        tenant_foreign_key("workspace_id", "workspaces_workspaces"),
    )
    workspace_id: Mapped[str] = mapped_column(uuid_type())
    title: Mapped[str] = mapped_column(String(300))
    kind: Mapped[str] = mapped_column(String(20))
    mode: Mapped[str] = mapped_column(String(20), default="crdt")
    created_by: Mapped[str] = mapped_column(uuid_type())
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow)
