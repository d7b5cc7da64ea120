"""answers kept for idempotency keys"""

import sqlalchemy as sa
import treenail.db.types
from alembic import op

revision = "core_0002"
down_revision = "core_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "core_idempotency_keys",
        sa.Column("user_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("scope", sa.String(length=64), nullable=False),
        sa.Column("request", sa.String(length=64), nullable=False),
        sa.Column("answer_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", treenail.db.types.Timestamp(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("tenant_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["core_tenants.id"],
            name=op.f("fk_core_idempotency_keys_tenant_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["core_users.id"],
            name=op.f("fk_core_idempotency_keys_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_core_idempotency_keys")),
        sa.UniqueConstraint(
            "tenant_id",
            "user_id",
            "scope",
            name=op.f("uq_core_idempotency_keys_tenant_id_user_id_scope"),
        ),
    )
    with op.batch_alter_table("core_idempotency_keys", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_core_idempotency_keys_created_at"), ["created_at"], unique=False
        )

    op.create_table(
        "core_personal_idempotency_keys",
        sa.Column("user_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("scope", sa.String(length=64), nullable=False),
        sa.Column("request", sa.String(length=64), nullable=False),
        sa.Column("answer_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", treenail.db.types.Timestamp(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["core_users.id"],
            name=op.f("fk_core_personal_idempotency_keys_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_core_personal_idempotency_keys")),
        sa.UniqueConstraint(
            "user_id", "scope", name=op.f("uq_core_personal_idempotency_keys_user_id_scope")
        ),
    )
    with op.batch_alter_table("core_personal_idempotency_keys", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_core_personal_idempotency_keys_created_at"), ["created_at"], unique=False
        )


def downgrade() -> None:
    with op.batch_alter_table("core_personal_idempotency_keys", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_core_personal_idempotency_keys_created_at"))

    op.drop_table("core_personal_idempotency_keys")
    with op.batch_alter_table("core_idempotency_keys", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_core_idempotency_keys_created_at"))

    op.drop_table("core_idempotency_keys")
