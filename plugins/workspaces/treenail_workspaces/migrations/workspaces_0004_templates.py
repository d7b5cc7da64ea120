"""templates"""

import sqlalchemy as sa
import treenail.db.types
from alembic import op

revision = "workspaces_0004"
down_revision = "workspaces_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "workspaces_templates",
        sa.Column("workspace_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("content_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("thumbnail_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_by", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("created_at", treenail.db.types.Timestamp(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("tenant_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "workspace_id"],
            ["workspaces_workspaces.tenant_id", "workspaces_workspaces.id"],
            name=op.f("fk_workspaces_templates_tenant_id_workspace_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["core_tenants.id"],
            name=op.f("fk_workspaces_templates_tenant_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workspaces_templates")),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_workspaces_templates_tenant_id_id")),
    )
    op.create_index(
        "ix_workspaces_templates_workspace",
        "workspaces_templates",
        ["tenant_id", "workspace_id", "id"],
    )


def downgrade() -> None:
    op.drop_table("workspaces_templates")
