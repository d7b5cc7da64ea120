"""deliveries that stand in line, are replayed, and survive any number of crashes"""

import sqlalchemy as sa
from alembic import op

revision = "core_0003"
down_revision = "core_0002"
branch_labels = None
depends_on = None

DUE = sa.text("status IN ('pending', 'running')")
ALONE = sa.text("status IN ('pending', 'running') AND line IS NULL")
LINE = sa.text("status IN ('pending', 'running') AND line IS NOT NULL")
UNIQUE = "uq_core_deliveries_event_id_subscription_target"


def upgrade() -> None:
    with op.batch_alter_table("core_deliveries", schema=None) as batch_op:
        batch_op.add_column(sa.Column("replay", sa.Integer(), nullable=False, server_default="0"))
        batch_op.add_column(sa.Column("line", sa.String(length=250), nullable=True))
        batch_op.add_column(sa.Column("failures", sa.Integer(), nullable=False, server_default="0"))
        batch_op.drop_constraint(batch_op.f(UNIQUE), type_="unique")
        batch_op.create_unique_constraint(
            batch_op.f(f"{UNIQUE}_replay"), ["event_id", "subscription", "target", "replay"]
        )
        batch_op.drop_index("ix_core_deliveries_due", sqlite_where=DUE, postgresql_where=DUE)
        batch_op.create_index(
            "ix_core_deliveries_due",
            ["due_at"],
            unique=False,
            sqlite_where=ALONE,
            postgresql_where=ALONE,
        )
        batch_op.create_index(
            "ix_core_deliveries_line",
            ["line", "id"],
            unique=False,
            sqlite_where=LINE,
            postgresql_where=LINE,
        )
    # What was tried before counted as so many failures.
    op.execute(sa.text("UPDATE core_deliveries SET failures = attempts WHERE status <> 'running'"))


def downgrade() -> None:
    op.execute(sa.text("DELETE FROM core_deliveries WHERE replay > 0"))
    with op.batch_alter_table("core_deliveries", schema=None) as batch_op:
        batch_op.drop_index("ix_core_deliveries_line", sqlite_where=LINE, postgresql_where=LINE)
        batch_op.drop_index("ix_core_deliveries_due", sqlite_where=ALONE, postgresql_where=ALONE)
        batch_op.create_index(
            "ix_core_deliveries_due",
            ["due_at"],
            unique=False,
            sqlite_where=DUE,
            postgresql_where=DUE,
        )
        batch_op.drop_constraint(batch_op.f(f"{UNIQUE}_replay"), type_="unique")
        batch_op.create_unique_constraint(
            batch_op.f(UNIQUE), ["event_id", "subscription", "target"]
        )
        batch_op.drop_column("failures")
        batch_op.drop_column("line")
        batch_op.drop_column("replay")
