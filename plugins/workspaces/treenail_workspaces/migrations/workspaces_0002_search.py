"""titles to find and sort documents by"""

import unicodedata

import sqlalchemy as sa
from alembic import op

revision = "workspaces_0002"
down_revision = "workspaces_0001"
branch_labels = None
depends_on = None

KEY = sa.String(600).with_variant(sa.String(600, collation="C"), "postgresql")
INDEXES = {
    "ix_workspaces_documents_title": ["tenant_id", "title_key", "id"],
    "ix_workspaces_documents_updated": ["tenant_id", "updated_at", "id"],
    "ix_workspaces_documents_workspace_title": ["tenant_id", "workspace_id", "title_key", "id"],
    "ix_workspaces_documents_workspace_updated": [
        *("tenant_id", "workspace_id", "updated_at", "id")
    ],
}


def upgrade() -> None:
    # With a default, because SQLite adds no other column that can't be null to what has rows.
    column = sa.Column("title_key", KEY, nullable=False, server_default="")
    op.add_column("workspaces_documents", column)
    _fill()
    for name, columns in INDEXES.items():
        op.create_index(name, "workspaces_documents", columns)


def downgrade() -> None:
    for name in INDEXES:
        op.drop_index(name, "workspaces_documents")
    op.drop_column("workspaces_documents", "title_key")


def _fill() -> None:
    """Give what is there already its key."""
    documents = sa.table("workspaces_documents", *map(sa.column, ("id", "title", "title_key")))
    connection = op.get_bind()
    change = documents.update().where(documents.c.id == sa.bindparam("row"))
    rows = [
        {"row": row.id, "key": unicodedata.normalize("NFKC", row.title).casefold()[:600]}
        for row in connection.execute(sa.select(documents.c.id, documents.c.title))
    ]
    if rows:
        connection.execute(change.values(title_key=sa.bindparam("key")), rows)
