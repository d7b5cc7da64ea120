"""Passwords, and the sessions behind every token."""

import sqlalchemy as sa
from alembic import op
from treenail.db.types import Timestamp

revision = "auth_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "auth_passwords",
        sa.Column("user_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("hash", sa.String(length=100), nullable=False),
        sa.Column("changed_at", Timestamp(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["core_users.id"],
            name=op.f("fk_auth_passwords_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_auth_passwords")),
    )
    op.create_table(
        "auth_sessions",
        sa.Column("user_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("created_at", Timestamp(timezone=True), nullable=False),
        sa.Column("last_used_at", Timestamp(timezone=True), nullable=False),
        sa.Column("expires_at", Timestamp(timezone=True), nullable=False),
        sa.Column("ended_at", Timestamp(timezone=True), nullable=True),
        sa.Column("end_reason", sa.String(length=40), nullable=True),
        sa.Column("counter", sa.Integer(), nullable=False),
        sa.Column("rotated_at", Timestamp(timezone=True), nullable=True),
        sa.Column("auth_time", Timestamp(timezone=True), nullable=False),
        sa.Column("amr", sa.JSON(), nullable=False),
        sa.Column("ip", sa.String(length=64), nullable=False),
        sa.Column("user_agent", sa.String(length=300), nullable=False),
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["core_users.id"],
            name=op.f("fk_auth_sessions_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_auth_sessions")),
    )
    op.create_index(op.f("ix_auth_sessions_user_id"), "auth_sessions", ["user_id"])


def downgrade() -> None:
    op.drop_index(op.f("ix_auth_sessions_user_id"), "auth_sessions")
    op.drop_table("auth_sessions")
    op.drop_table("auth_passwords")
