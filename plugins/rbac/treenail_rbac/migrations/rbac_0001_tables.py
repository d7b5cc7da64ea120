"""tables of rbac"""

import sqlalchemy as sa
import treenail.db.types
from alembic import op

revision = "rbac_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rbac_grants",
        sa.Column("user_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("resource_type", sa.String(length=80), nullable=False),
        sa.Column("resource_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("role", sa.String(length=80), nullable=False),
        sa.Column("granted_by", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("created_at", treenail.db.types.Timestamp(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("tenant_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["core_tenants.id"],
            name=op.f("fk_rbac_grants_tenant_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["core_users.id"], name=op.f("fk_rbac_grants_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rbac_grants")),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_rbac_grants_tenant_id_id")),
        sa.UniqueConstraint(
            "tenant_id",
            "user_id",
            "resource_type",
            "resource_id",
            name=op.f("uq_rbac_grants_tenant_id_user_id_resource_type_resource_id"),
        ),
    )
    with op.batch_alter_table("rbac_grants", schema=None) as batch_op:
        batch_op.create_index(
            "ix_rbac_grants_resource", ["tenant_id", "resource_type", "resource_id"], unique=False
        )

    op.create_table(
        "rbac_invitations",
        sa.Column("email", sa.String(length=320), nullable=False),
        sa.Column("email_key", sa.String(length=640), nullable=False),
        sa.Column("role", sa.String(length=80), nullable=False),
        sa.Column("spaces", sa.JSON(), nullable=True),
        sa.Column("workspace_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("invited_by", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("created_at", treenail.db.types.Timestamp(timezone=True), nullable=False),
        sa.Column("expires_at", treenail.db.types.Timestamp(timezone=True), nullable=False),
        sa.Column("accepted_at", treenail.db.types.Timestamp(timezone=True), nullable=True),
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("tenant_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["core_tenants.id"],
            name=op.f("fk_rbac_invitations_tenant_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rbac_invitations")),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_rbac_invitations_tenant_id_id")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_rbac_invitations_token_hash")),
    )


def downgrade() -> None:
    op.drop_table("rbac_invitations")
    with op.batch_alter_table("rbac_grants", schema=None) as batch_op:
        batch_op.drop_index("ix_rbac_grants_resource")

    op.drop_table("rbac_grants")
