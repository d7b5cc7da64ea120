"""Second factors, one-time tokens and throttled tries."""

import sqlalchemy as sa
from alembic import op
from treenail.db.types import Timestamp

revision = "auth_0002"
down_revision = "auth_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "auth_authenticators",
        sa.Column("user_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("secret_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("confirmed_at", Timestamp(timezone=True), nullable=True),
        sa.Column("last_step", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        _belongs_to_user("auth_authenticators"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_auth_authenticators")),
        sa.UniqueConstraint("user_id", name=op.f("uq_auth_authenticators_user_id")),
    )
    op.create_table(
        "auth_recovery_codes",
        sa.Column("user_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        _belongs_to_user("auth_recovery_codes"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_auth_recovery_codes")),
    )
    op.create_index(op.f("ix_auth_recovery_codes_user_id"), "auth_recovery_codes", ["user_id"])
    op.create_table(
        "auth_tickets",
        sa.Column("purpose", sa.String(length=20), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("user_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("email", sa.String(length=320), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("expires_at", Timestamp(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        _belongs_to_user("auth_tickets"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_auth_tickets")),
        sa.UniqueConstraint("hash", name=op.f("uq_auth_tickets_hash")),
    )
    op.create_index(op.f("ix_auth_tickets_expires_at"), "auth_tickets", ["expires_at"])
    op.create_index(op.f("ix_auth_tickets_user_id"), "auth_tickets", ["user_id"])
    op.create_table(
        "auth_throttles",
        sa.Column("key", sa.String(length=80), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("seen_at", Timestamp(timezone=True), nullable=False),
        sa.Column("blocked_until", Timestamp(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_auth_throttles")),
    )
    op.create_index(op.f("ix_auth_throttles_seen_at"), "auth_throttles", ["seen_at"])


def downgrade() -> None:
    op.drop_table("auth_throttles")
    op.drop_table("auth_tickets")
    op.drop_table("auth_recovery_codes")
    op.drop_table("auth_authenticators")


def _belongs_to_user(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["user_id"], ["core_users.id"], name=op.f(f"fk_{table}_user_id"), ondelete="CASCADE"
    )
