"""tables of the core"""

import sqlalchemy as sa
import treenail.db.types
from alembic import op

revision = "core_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "core_epochs",
        sa.Column("subject_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("subject_id", name=op.f("pk_core_epochs")),
    )
    op.create_table(
        "core_mails",
        sa.Column("recipient", sa.String(length=320), nullable=False),
        sa.Column("subject", sa.String(length=300), nullable=False),
        sa.Column("text_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", treenail.db.types.Timestamp(timezone=True), nullable=False),
        sa.Column("sent_at", treenail.db.types.Timestamp(timezone=True), nullable=True),
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_core_mails")),
    )
    op.create_table(
        "core_periodic_runs",
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("next_at", treenail.db.types.Timestamp(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_core_periodic_runs")),
    )
    op.create_table(
        "core_tenants",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("plan", sa.String(length=40), nullable=False),
        sa.Column("industry", sa.String(length=80), nullable=False),
        sa.Column("created_at", treenail.db.types.Timestamp(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_core_tenants")),
    )
    op.create_table(
        "core_users",
        sa.Column("email", sa.String(length=320), nullable=False),
        sa.Column("email_key", sa.String(length=640), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("email_verified_at", treenail.db.types.Timestamp(timezone=True), nullable=True),
        sa.Column("created_at", treenail.db.types.Timestamp(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_core_users")),
        sa.UniqueConstraint("email_key", name=op.f("uq_core_users_email_key")),
    )
    op.create_table(
        "core_activations",
        sa.Column("session_id", sa.String(length=64), nullable=False),
        sa.Column("tenant_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("space", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["core_tenants.id"],
            name=op.f("fk_core_activations_tenant_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_core_activations")),
    )
    op.create_table(
        "core_events",
        sa.Column("type", sa.String(length=120), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("actor_id", sa.String(length=64), nullable=True),
        sa.Column("subject", sa.String(length=200), nullable=True),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("request_id", sa.String(length=128), nullable=True),
        sa.Column("occurred_at", treenail.db.types.Timestamp(timezone=True), nullable=False),
        sa.Column("relayed_at", treenail.db.types.Timestamp(timezone=True), nullable=True),
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["core_tenants.id"],
            name=op.f("fk_core_events_tenant_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_core_events")),
    )
    with op.batch_alter_table("core_events", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_core_events_tenant_id"), ["tenant_id"], unique=False)
        batch_op.create_index(
            "ix_core_events_unrelayed",
            ["id"],
            unique=False,
            sqlite_where=sa.text("relayed_at IS NULL"),
            postgresql_where=sa.text("relayed_at IS NULL"),
        )

    op.create_table(
        "core_memberships",
        sa.Column("user_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("role", sa.String(length=80), nullable=False),
        sa.Column("spaces", sa.JSON(), nullable=False),
        sa.Column("created_at", treenail.db.types.Timestamp(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("tenant_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["core_tenants.id"],
            name=op.f("fk_core_memberships_tenant_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["core_users.id"],
            name=op.f("fk_core_memberships_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_core_memberships")),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_core_memberships_tenant_id_id")),
        sa.UniqueConstraint(
            "tenant_id", "user_id", name=op.f("uq_core_memberships_tenant_id_user_id")
        ),
    )
    with op.batch_alter_table("core_memberships", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_core_memberships_user_id"), ["user_id"], unique=False)

    op.create_table(
        "core_deliveries",
        sa.Column("event_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("subscription", sa.String(length=120), nullable=False),
        sa.Column("target", sa.String(length=120), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", treenail.db.types.Timestamp(timezone=True), nullable=False),
        sa.Column("lease_owner", sa.String(length=64), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("created_at", treenail.db.types.Timestamp(timezone=True), nullable=False),
        sa.Column("finished_at", treenail.db.types.Timestamp(timezone=True), nullable=True),
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.ForeignKeyConstraint(
            ["event_id"],
            ["core_events.id"],
            name=op.f("fk_core_deliveries_event_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_core_deliveries")),
        sa.UniqueConstraint(
            "event_id",
            "subscription",
            "target",
            name=op.f("uq_core_deliveries_event_id_subscription_target"),
        ),
    )
    with op.batch_alter_table("core_deliveries", schema=None) as batch_op:
        batch_op.create_index(
            "ix_core_deliveries_due",
            ["due_at"],
            unique=False,
            sqlite_where=sa.text("status IN ('pending', 'running')"),
            postgresql_where=sa.text("status IN ('pending', 'running')"),
        )


def downgrade() -> None:
    with op.batch_alter_table("core_deliveries", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_core_deliveries_due",
            sqlite_where=sa.text("status IN ('pending', 'running')"),
            postgresql_where=sa.text("status IN ('pending', 'running')"),
        )

    op.drop_table("core_deliveries")
    with op.batch_alter_table("core_memberships", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_core_memberships_user_id"))

    op.drop_table("core_memberships")
    with op.batch_alter_table("core_events", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_core_events_unrelayed",
            sqlite_where=sa.text("relayed_at IS NULL"),
            postgresql_where=sa.text("relayed_at IS NULL"),
        )
        batch_op.drop_index(batch_op.f("ix_core_events_tenant_id"))

    op.drop_table("core_events")
    op.drop_table("core_activations")
    op.drop_table("core_users")
    op.drop_table("core_tenants")
    op.drop_table("core_periodic_runs")
    op.drop_table("core_mails")
    op.drop_table("core_epochs")
