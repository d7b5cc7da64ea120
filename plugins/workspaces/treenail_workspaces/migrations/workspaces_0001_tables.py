"""tables"""

import sqlalchemy as sa
import treenail.db.types
from alembic import op

revision = "workspaces_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "workspaces_workspaces",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("created_by", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("created_at", treenail.db.types.Timestamp(timezone=True), nullable=False),
        sa.Column("updated_at", treenail.db.types.Timestamp(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("tenant_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["core_tenants.id"],
            name=op.f("fk_workspaces_workspaces_tenant_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workspaces_workspaces")),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_workspaces_workspaces_tenant_id_id")),
    )
    op.create_table(
        "workspaces_documents",
        sa.Column("workspace_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("title", sa.String(length=300), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("mode", sa.String(length=20), nullable=False),
        sa.Column("created_by", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("created_at", treenail.db.types.Timestamp(timezone=True), nullable=False),
        sa.Column("updated_at", treenail.db.types.Timestamp(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("tenant_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "workspace_id"],
            ["workspaces_workspaces.tenant_id", "workspaces_workspaces.id"],
            name=op.f("fk_workspaces_documents_tenant_id_workspace_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["core_tenants.id"],
            name=op.f("fk_workspaces_documents_tenant_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workspaces_documents")),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_workspaces_documents_tenant_id_id")),
    )
    with op.batch_alter_table("workspaces_documents", schema=None) as batch_op:
        batch_op.create_index(
            "ix_workspaces_documents_workspace", ["tenant_id", "workspace_id", "id"], unique=False
        )


def downgrade() -> None:
    with op.batch_alter_table("workspaces_documents", schema=None) as batch_op:
        batch_op.drop_index("ix_workspaces_documents_workspace")

    op.drop_table("workspaces_documents")
    op.drop_table("workspaces_workspaces")
