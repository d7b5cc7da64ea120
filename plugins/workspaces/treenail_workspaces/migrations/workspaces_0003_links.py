"""share links, and the grants they gave"""

import sqlalchemy as sa
import treenail.db.types
from alembic import op

revision = "workspaces_0003"
down_revision = "workspaces_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "workspaces_links",
        sa.Column("document_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("role", sa.String(length=80), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("password_hash", sa.LargeBinary(), nullable=True),
        sa.Column("expires_at", treenail.db.types.Timestamp(timezone=True), nullable=True),
        sa.Column("created_by", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("created_at", treenail.db.types.Timestamp(timezone=True), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("tries_since", treenail.db.types.Timestamp(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("tenant_id", sa.Uuid(as_uuid=False), nullable=False),
        _inside("links", "document_id", "workspaces_documents"),
        _owned("links"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workspaces_links")),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_workspaces_links_tenant_id_id")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_workspaces_links_token_hash")),
    )
    op.create_index(
        "ix_workspaces_links_document", "workspaces_links", ["tenant_id", "document_id", "id"]
    )
    op.create_table(
        "workspaces_link_grants",
        sa.Column("link_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("grant_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("own_role", sa.String(length=80), nullable=True),
        sa.Column("tenant_id", sa.Uuid(as_uuid=False), nullable=False),
        _inside("link_grants", "grant_id", "rbac_grants"),
        _inside("link_grants", "link_id", "workspaces_links"),
        _owned("link_grants"),
        sa.PrimaryKeyConstraint("link_id", "grant_id", name=op.f("pk_workspaces_link_grants")),
    )
    for column in ("link", "grant"):
        name = f"ix_workspaces_link_grants_{column}"
        op.create_index(name, "workspaces_link_grants", ["tenant_id", f"{column}_id"])


def downgrade() -> None:
    op.drop_table("workspaces_link_grants")
    op.drop_table("workspaces_links")


def _inside(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["tenant_id", column],
        [f"{target}.tenant_id", f"{target}.id"],
        name=op.f(f"fk_workspaces_{table}_tenant_id_{column}"),
        ondelete="CASCADE",
    )


def _owned(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["tenant_id"],
        ["core_tenants.id"],
        name=op.f(f"fk_workspaces_{table}_tenant_id"),
        ondelete="CASCADE",
    )
