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
    op.add_column("workspaces_documents", sa.Column("title_key", KEY, nullable=True))
    _fill()
    with op.batch_alter_table("workspaces_documents") as batch_op:
        batch_op.alter_column("title_key", existing_type=KEY, nullable=False)
        for name, columns in INDEXES.items():
            batch_op.create_index(name, columns)


def downgrade() -> None:
    with op.batch_alter_table("workspaces_documents") as batch_op:
        for name in INDEXES:
            batch_op.drop_index(name)
        batch_op.drop_column("title_key")


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
