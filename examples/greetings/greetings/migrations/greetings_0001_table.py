"""The greetings."""

import sqlalchemy as sa
from alembic import op
from treenail.db.types import Timestamp

revision, down_revision, branch_labels, depends_on = "greetings_0001", None, None, None


def upgrade() -> None:
    op.create_table(
        "greetings_greetings",
        sa.Column("id", sa.Uuid(as_uuid=False), primary_key=True),
        sa.Column("sender_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("recipient_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("words", sa.String, nullable=False),
        sa.Column("mailed_at", Timestamp(timezone=True)),
        sa.Column("tenant_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["core_tenants.id"], ondelete="CASCADE"),
    )


def downgrade() -> None:
    op.drop_table("greetings_greetings")
