"""the inbox, the sealed records, what proves their end, and who may change nothing"""

import sqlalchemy as sa
import treenail.db.types
from alembic import op

revision = "audit_0001"
down_revision = None
branch_labels = None
depends_on = None

# While the tenant is there: with it its log goes.
SQLITE_TRIGGERS = {
    "audit_records_no_update": """CREATE TRIGGER audit_records_no_update
        BEFORE UPDATE ON audit_records
        BEGIN SELECT RAISE(ABORT, 'audit records are never changed'); END""",
    "audit_records_no_delete": """CREATE TRIGGER audit_records_no_delete
        BEFORE DELETE ON audit_records
        WHEN EXISTS (SELECT 1 FROM core_tenants WHERE id = OLD.tenant_id)
        BEGIN SELECT RAISE(ABORT, 'audit records are never deleted'); END""",
    # INSERT OR REPLACE deletes without a trigger where recursive_triggers is off, by any key.
    "audit_records_no_replace": """CREATE TRIGGER audit_records_no_replace
        BEFORE INSERT ON audit_records
        WHEN EXISTS (SELECT 1 FROM audit_records
                     WHERE tenant_id = NEW.tenant_id AND seq = NEW.seq)
          OR EXISTS (SELECT 1 FROM audit_records WHERE rowid = NEW.rowid)
        BEGIN SELECT RAISE(ABORT, 'audit records are never replaced'); END""",
}
POSTGRESQL = (
    """CREATE FUNCTION audit_records_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' THEN
            IF NOT EXISTS (SELECT FROM core_tenants WHERE id = OLD.tenant_id) THEN
                RETURN OLD;
            END IF;
        END IF;
        RAISE EXCEPTION 'audit records are never changed or deleted';
    END $$""",
    """CREATE TRIGGER audit_records_no_change BEFORE UPDATE OR DELETE ON audit_records
        FOR EACH ROW EXECUTE FUNCTION audit_records_refuse()""",
    """CREATE TRIGGER audit_records_no_truncate BEFORE TRUNCATE ON audit_records
        FOR EACH STATEMENT EXECUTE FUNCTION audit_records_refuse()""",
    # Also where session_replication_role says that triggers needn't be asked.
    "ALTER TABLE audit_records ENABLE ALWAYS TRIGGER audit_records_no_change",
    "ALTER TABLE audit_records ENABLE ALWAYS TRIGGER audit_records_no_truncate",
)


def plain(length: int) -> sa.types.TypeEngine[str]:
    """Text that sorts by code point."""
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def tenant(table: str) -> tuple[sa.Column[str], sa.ForeignKeyConstraint]:
    """Whose a row is."""
    key = sa.ForeignKeyConstraint(
        ["tenant_id"],
        ["core_tenants.id"],
        name=op.f(f"fk_{table}_tenant_id"),
        ondelete="CASCADE",
    )
    return sa.Column("tenant_id", sa.Uuid(as_uuid=False), nullable=False), key


def upgrade() -> None:
    moment = treenail.db.types.Timestamp(timezone=True)
    op.create_table(
        "audit_inbox",
        *tenant("audit_inbox"),
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.Column("personal", sa.LargeBinary(), nullable=False),
        sa.Column("due_at", moment, nullable=True),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_audit_inbox")),
    )
    op.create_table(
        "audit_records",
        *tenant("audit_records"),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", plain(36), nullable=False),
        sa.Column("occurred_at", plain(24), nullable=False),
        sa.Column("actor_id", plain(64), nullable=False),
        sa.Column("action", plain(300), nullable=False),
        sa.Column("resource_type", plain(100), nullable=False),
        sa.Column("resource_id", plain(200), nullable=False),
        sa.Column("outcome", plain(10), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("prev_hash", plain(64), nullable=False),
        sa.Column("hash", plain(64), nullable=False),
        sa.Column("canonical", sa.Text(), nullable=False),
        sa.Column("personal", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "seq", name=op.f("pk_audit_records")),
    )
    for name, column in {"actor": "actor_id", "resource": "resource_id"}.items():
        op.create_index(f"ix_audit_records_{name}", "audit_records", ["tenant_id", column, "seq"])
    op.create_table(
        "audit_heads",
        *tenant("audit_heads"),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("anchored_seq", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_audit_heads")),
    )
    op.create_table(
        "audit_checkpoints",
        *tenant("audit_checkpoints"),
        sa.Column("block", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("signed_at", sa.String(24), nullable=False),
        sa.Column("signature", sa.String(128), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "block", name=op.f("pk_audit_checkpoints")),
    )
    op.create_table(
        "audit_subject_keys",
        *tenant("audit_subject_keys"),
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("subject_id", plain(64), nullable=False),
        sa.Column("key_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_subject_keys")),
        sa.UniqueConstraint(
            "tenant_id", "subject_id", name=op.f("uq_audit_subject_keys_tenant_id_subject_id")
        ),
    )
    sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in SQLITE_TRIGGERS.values() if sqlite else POSTGRESQL:
        op.execute(statement)


def downgrade() -> None:
    for table in ("subject_keys", "checkpoints", "heads", "records", "inbox"):
        op.drop_table(f"audit_{table}")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_records_refuse()")
