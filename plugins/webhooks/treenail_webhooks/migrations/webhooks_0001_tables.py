"""tables"""

import sqlalchemy as sa
import treenail.db.types
from alembic import op

revision = "webhooks_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "webhooks_endpoints",
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("events", sa.JSON(), nullable=False),
        sa.Column("schedule", sa.JSON(), nullable=False),
        sa.Column("fifo", sa.Boolean(), nullable=False),
        sa.Column("headers_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("secret_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("old_secret_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("old_secret_until", treenail.db.types.Timestamp(timezone=True), nullable=True),
        sa.Column("disabled_at", treenail.db.types.Timestamp(timezone=True), nullable=True),
        sa.Column("disabled_reason", sa.String(length=20), nullable=True),
        sa.Column("failing_since", treenail.db.types.Timestamp(timezone=True), nullable=True),
        sa.Column("held_since", treenail.db.types.Timestamp(timezone=True), nullable=True),
        sa.Column("created_by", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("created_at", treenail.db.types.Timestamp(timezone=True), nullable=False),
        sa.Column("updated_at", treenail.db.types.Timestamp(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("tenant_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["core_tenants.id"],
            name=op.f("fk_webhooks_endpoints_tenant_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhooks_endpoints")),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_webhooks_endpoints_tenant_id_id")),
    )
    op.create_table(
        "webhooks_attempts",
        sa.Column("endpoint_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("delivery_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("started_at", treenail.db.types.Timestamp(timezone=True), nullable=False),
        sa.Column("finished_at", treenail.db.types.Timestamp(timezone=True), nullable=True),
        sa.Column("duration_ms", sa.Integer(), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("error", sa.String(length=40), nullable=True),
        sa.Column("response_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("tenant_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.ForeignKeyConstraint(
            ["delivery_id"],
            ["core_deliveries.id"],
            name=op.f("fk_webhooks_attempts_delivery_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "endpoint_id"],
            ["webhooks_endpoints.tenant_id", "webhooks_endpoints.id"],
            name=op.f("fk_webhooks_attempts_tenant_id_endpoint_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["core_tenants.id"],
            name=op.f("fk_webhooks_attempts_tenant_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhooks_attempts")),
    )
    with op.batch_alter_table("webhooks_attempts", schema=None) as batch_op:
        batch_op.create_index("ix_webhooks_attempts_delivery", ["delivery_id", "id"], unique=False)
        batch_op.create_index(
            "ix_webhooks_attempts_endpoint", ["tenant_id", "endpoint_id"], unique=False
        )


def downgrade() -> None:
    with op.batch_alter_table("webhooks_attempts", schema=None) as batch_op:
        batch_op.drop_index("ix_webhooks_attempts_endpoint")
        batch_op.drop_index("ix_webhooks_attempts_delivery")

    op.drop_table("webhooks_attempts")
    op.drop_table("webhooks_endpoints")
