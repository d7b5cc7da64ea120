"""what happened in workspaces"""

import sqlalchemy as sa
import treenail.db.types
from alembic import op

revision = "workspaces_0005"
down_revision = "workspaces_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "workspaces_activities",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("workspace_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("document_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("type", sa.String(length=120), nullable=False),
        sa.Column("actor_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("occurred_at", treenail.db.types.Timestamp(timezone=True), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "workspace_id"],
            ["workspaces_workspaces.tenant_id", "workspaces_workspaces.id"],
            name=op.f("fk_workspaces_activities_tenant_id_workspace_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["core_tenants.id"],
            name=op.f("fk_workspaces_activities_tenant_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workspaces_activities")),
    )
    place = ["tenant_id", "workspace_id"]
    op.create_index("ix_workspaces_activities_feed", "workspaces_activities", [*place, "id"])
    op.create_index(
        "ix_workspaces_activities_day", "workspaces_activities", [*place, "day", "type"]
    )


def downgrade() -> None:
    op.drop_table("workspaces_activities")
