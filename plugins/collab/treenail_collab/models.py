"""The log of each document's updates, and the snapshot that the log is folded into."""

from datetime import datetime

from sqlalchemy import LargeBinary
from sqlalchemy.orm import Mapped, mapped_column
from treenail.clock import utcnow
from treenail.db import Model, Tenanted, tenant_foreign_key, uuid_type


class Update(Tenanted, Model):
    """What one round changed in one document: a Yjs update, sealed, and who wrote it.

    ``seq`` counts per document and is given by whoever has the document open: a second
    writer would collide on the key instead of mixing two histories.
    """

    __tablename__ = "collab_updates"
    __table_args__ = (tenant_foreign_key("document_id", "workspaces_documents"),)
    document_id: Mapped[str] = mapped_column(uuid_type(), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    data_sealed: Mapped[bytes] = mapped_column(LargeBinary)
    user_ids: Mapped[list[str]]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class Snapshot(Tenanted, Model):
    """A document as of ``seq``, sealed; updates that are pending stay in the log."""

    __tablename__ = "collab_snapshots"
    __table_args__ = (tenant_foreign_key("document_id", "workspaces_documents"),)
    document_id: Mapped[str] = mapped_column(uuid_type(), primary_key=True)
    seq: Mapped[int]
    data_sealed: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
