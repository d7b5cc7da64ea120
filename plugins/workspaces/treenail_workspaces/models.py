"""Workspaces and the documents in them."""

import unicodedata
from datetime import date, datetime
from typing import Any

import orjson
from sqlalchemy import Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, validates
from treenail.clock import utcnow
from treenail.db import Identified, Model, Sealed, Tenanted, tenant_foreign_key, uuid_type
from treenail.db.sealed import sealed_column

KINDS = ("board", "diagram")
MODES = ("crdt", "server")

KEY_LENGTH = 600
"""Of a title's key: in UTF-8 the longest that PostgreSQL's indexes take along with three ids."""

KeyText = String(KEY_LENGTH).with_variant(String(KEY_LENGTH, collation="C"), "postgresql")
"""Sorted by code point on both databases: PostgreSQL would ask the machine's locale."""


def title_key(text: str) -> str:
    """The form by which titles are found and sorted (NFKC, case folded, at most 600 characters).

    SQLite's ``lower()`` knows ASCII alone. NFKC makes 18 characters of some single ones.
    """
    return unicodedata.normalize("NFKC", text).casefold()[:KEY_LENGTH]


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
        # A list's every order, in a workspace and in the tenant; an id sorts by creation. With
        # the workspace in them, what one may not see is passed over without reading its row.
        Index("ix_workspaces_documents_workspace", "tenant_id", "workspace_id", "id"),
        Index("ix_workspaces_documents_title", "tenant_id", "title_key", "id", "workspace_id"),
        Index("ix_workspaces_documents_updated", "tenant_id", "updated_at", "id", "workspace_id"),
        Index(
            "ix_workspaces_documents_workspace_title",
            *("tenant_id", "workspace_id", "title_key", "id"),
        ),
        Index(
            "ix_workspaces_documents_workspace_updated",
            *("tenant_id", "workspace_id", "updated_at", "id"),
        ),
        tenant_foreign_key("workspace_id", "workspaces_workspaces"),
    )
    workspace_id: Mapped[str] = mapped_column(uuid_type())
    title: Mapped[str] = mapped_column(String(300))
    title_key: Mapped[str] = mapped_column(KeyText, server_default="")
    kind: Mapped[str] = mapped_column(String(20))
    mode: Mapped[str] = mapped_column(String(20), default="crdt")
    created_by: Mapped[str] = mapped_column(uuid_type())
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow)

    @validates("title")
    def _keep_key(self, name: str, title: str) -> str:
        self.title_key = title_key(title)
        return title


class Link(Identified, Tenanted, Model):
    """A share link: whoever has its token gets the role; only the token's hash is here.

    ``tries`` counts the passwords tried since ``tries_since``.
    """

    __tablename__ = "workspaces_links"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        Index("ix_workspaces_links_document", "tenant_id", "document_id", "id"),
        tenant_foreign_key("document_id", "workspaces_documents"),
    )
    document_id: Mapped[str] = mapped_column(uuid_type())
    role: Mapped[str] = mapped_column(String(80))
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    password_hash: Mapped[bytes | None]
    expires_at: Mapped[datetime | None]
    created_by: Mapped[str] = mapped_column(uuid_type())
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    tries: Mapped[int] = mapped_column(default=0)
    tries_since: Mapped[datetime] = mapped_column(default=utcnow)

    @property
    def has_password(self) -> bool:
        """Whether it asks for one."""
        return self.password_hash is not None


class LinkGrant(Tenanted, Model):
    """A grant that a link gave or raised, and the role the person had there of their own."""

    __tablename__ = "workspaces_link_grants"
    __table_args__ = (
        Index("ix_workspaces_link_grants_link", "tenant_id", "link_id"),
        Index("ix_workspaces_link_grants_grant", "tenant_id", "grant_id"),
        tenant_foreign_key("link_id", "workspaces_links"),
        tenant_foreign_key("grant_id", "rbac_grants"),
    )
    link_id: Mapped[str] = mapped_column(uuid_type(), primary_key=True)
    grant_id: Mapped[str] = mapped_column(uuid_type(), primary_key=True)
    own_role: Mapped[str | None] = mapped_column(String(80))


class Template(Identified, Tenanted, Model):
    """What a new document can begin with: content as JSON, and a picture of it."""

    __tablename__ = "workspaces_templates"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        Index("ix_workspaces_templates_workspace", "tenant_id", "workspace_id", "id"),
        tenant_foreign_key("workspace_id", "workspaces_workspaces"),
    )
    workspace_id: Mapped[str] = mapped_column(uuid_type())
    name: Mapped[str] = mapped_column(String(200))
    kind: Mapped[str] = mapped_column(String(20))
    content_sealed: Mapped[bytes] = sealed_column()
    thumbnail_sealed: Mapped[bytes] = sealed_column()
    created_by: Mapped[str] = mapped_column(uuid_type())
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    content_bytes = Sealed("content_sealed")
    thumbnail_bytes = Sealed("thumbnail_sealed")

    @property
    def content(self) -> dict[str, Any]:
        """``objects`` of a board, ``xml`` of a diagram."""
        found: dict[str, Any] = orjson.loads(self.content_bytes)
        return found

    @property
    def thumbnail(self) -> str | None:
        """A ``data:`` URL."""
        return self.thumbnail_bytes.decode() or None


class Activity(Tenanted, Model):
    """An event of a workspace or of what lies in it; it has that event's id.

    It outlives the document it tells of, so nothing ties it to that but the id.
    """

    __tablename__ = "workspaces_activities"
    __table_args__ = (
        Index("ix_workspaces_activities_feed", "tenant_id", "workspace_id", "id"),
        Index("ix_workspaces_activities_day", "tenant_id", "workspace_id", "day", "type"),
        tenant_foreign_key("workspace_id", "workspaces_workspaces"),
    )
    id: Mapped[str] = mapped_column(uuid_type(), primary_key=True)
    workspace_id: Mapped[str] = mapped_column(uuid_type())
    document_id: Mapped[str | None] = mapped_column(uuid_type())
    type: Mapped[str] = mapped_column(String(120))
    actor_id: Mapped[str | None] = mapped_column(uuid_type())
    data: Mapped[dict[str, Any]]
    occurred_at: Mapped[datetime]
    day: Mapped[date]
