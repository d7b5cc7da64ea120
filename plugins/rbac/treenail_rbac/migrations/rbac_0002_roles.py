"""the tenants' own roles"""

import sqlalchemy as sa
import treenail.db.types
from alembic import op

revision = "rbac_0002"
down_revision = "rbac_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rbac_roles",
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("resource_type", sa.String(length=80), nullable=False),
        sa.Column("created_by", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("created_at", treenail.db.types.Timestamp(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("tenant_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["core_tenants.id"],
            name=op.f("fk_rbac_roles_tenant_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rbac_roles")),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_rbac_roles_tenant_id_id")),
        sa.UniqueConstraint(
            "tenant_id",
            "resource_type",
            "name",
            name=op.f("uq_rbac_roles_tenant_id_resource_type_name"),
        ),
    )
    op.create_table(
        "rbac_role_permissions",
        sa.Column("role_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("permission", sa.String(length=120), nullable=False),
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("tenant_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["core_tenants.id"],
            name=op.f("fk_rbac_role_permissions_tenant_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "role_id"],
            ["rbac_roles.tenant_id", "rbac_roles.id"],
            name=op.f("fk_rbac_role_permissions_tenant_id_role_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rbac_role_permissions")),
        sa.UniqueConstraint(
            "tenant_id",
            "role_id",
            "permission",
            name=op.f("uq_rbac_role_permissions_tenant_id_role_id_permission"),
        ),
    )


def downgrade() -> None:
    op.drop_table("rbac_role_permissions")
    op.drop_table("rbac_roles")
