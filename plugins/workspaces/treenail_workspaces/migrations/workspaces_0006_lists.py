"""a tenant's list is read from its index alone: whom a document is shown to, its workspace says"""

from alembic import op

revision = "workspaces_0006"
down_revision = "workspaces_0005"
branch_labels = None
depends_on = None

TABLE = "workspaces_documents"
ORDERS = {
    "ix_workspaces_documents_title": "title_key",
    "ix_workspaces_documents_updated": "updated_at",
}


def upgrade() -> None:
    _index_anew("workspace_id")


def downgrade() -> None:
    _index_anew()


def _index_anew(*more: str) -> None:
    for name, column in ORDERS.items():
        op.drop_index(name, TABLE)
        op.create_index(name, TABLE, ["tenant_id", column, "id", *more])
