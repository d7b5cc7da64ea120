"""Whatever is done to the log is found: by who owns the database, but not the key."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Table, delete, insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from treenail.db import tenant_session
from treenail.migrate import owner
from treenail.testing.callers import make_tenant
from treenail_audit import chain, sealer, verification
from treenail_audit.models import Checkpoint, Head, Record
from treenail_audit.testing import anchors, unguarded, verdict, write
from treenail_audit.verification import Verdict

RECORDS: Table = Record.__table__
CHECKPOINTS: Table = Checkpoint.__table__
TEXTS = [c.name for c in RECORDS.columns if c.name not in ("seq", "times", "tenant_id")]
BATCHES, SIZE = 3, 4
TOTAL = BATCHES * SIZE
PLACES = st.integers(1, TOTAL)
FEW = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
WHERE_ELSE = ("checkpoints", "head", "anchors")
PARTS = [part for n in range(3) for part in combinations(WHERE_ELSE, n)]
"""Any but all three: who can change them all as they were has rolled back the deployment."""


class Log:
    """A chain of 12 records in 3 batches, as it was."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.tenant_id = make_tenant(app).id
        write(app, self.tenant_id, batches=BATCHES, size=SIZE)
        self.lines = list(anchors(app, self.tenant_id).lines())
        own = RECORDS.c.tenant_id == self.tenant_id
        with unguarded(app) as connection:
            rows = connection.execute(select(RECORDS).where(own).order_by(RECORDS.c.seq))
            self.rows = [dict(row) for row in rows.mappings()]

    def look(self, connection: Connection, lines: Any = None) -> Verdict:
        with self.app.app_context():
            said = self.lines if lines is None else lines
            return verification.look(connection, self.tenant_id, said)

    def at(self, seq: int) -> Any:
        return (RECORDS.c.tenant_id == self.tenant_id) & (RECORDS.c.seq == seq)

    def replace(self, connection: Connection, rows: list[dict[str, Any]]) -> None:
        """Other records in the place of those there are."""
        connection.execute(delete(RECORDS).where(RECORDS.c.tenant_id == self.tenant_id))
        connection.execute(insert(RECORDS), rows)


@pytest.fixture(scope="module")
def log(app):
    """A chain, with checkpoints of every batch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealer, "BLOCK", SIZE)
        made = Log(app)
    assert verdict(app, made.tenant_id) == Verdict(True, TOTAL, None)
    return made


def relinked(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, numbered and linked anew, as whoever knows how it is done would."""
    last, made = chain.FIRST, []
    for seq, row in enumerate(rows, 1):
        row = {**row, "seq": seq, "prev_hash": last}
        row["hash"] = last = chain.digest(row)
        made.append(row)
    return made


def flipped(value: str, bit: int) -> bytes:
    data = bytearray(value.encode())
    data[bit // 8 % len(data)] ^= 1 << bit % 8
    return bytes(data)


def is_text(data: bytes) -> bool:
    """Whether PostgreSQL would store it as text."""
    return b"\0" not in data and data.decode(errors="ignore").encode() == data


@FEW
@given(place=PLACES, column=st.sampled_from(TEXTS), bit=st.integers(0, 4000))
def test_one_bit_of_text_is_found_where_it_is(log, place, column, bit):
    changed = flipped(log.rows[place - 1][column], bit)
    with unguarded(log.app) as connection:
        sqlite = connection.dialect.name == "sqlite"
        assume(
            sqlite or (b"\0" not in changed and changed.decode(errors="ignore").encode() == changed)
        )
        value = "CAST(CAST(:value AS BLOB) AS TEXT)" if sqlite else "convert_from(:value, 'UTF8')"
        tenant_id = log.tenant_id.replace("-", "") if sqlite else log.tenant_id
        one = f"UPDATE audit_records SET {column} = {value} WHERE tenant_id = :t AND seq = :s"
        connection.execute(text(one), {"value": changed, "t": tenant_id, "s": place})
        assert log.look(connection).first_bad == place


@FEW
@given(place=PLACES, bit=st.integers(0, 30))
def test_one_bit_of_a_number_is_found(log, place, bit):
    with unguarded(log.app) as connection:
        try:
            with connection.begin_nested():
                other = place ^ (1 << bit)
                connection.execute(update(RECORDS).where(log.at(place)).values(seq=other))
        except IntegrityError:
            return  # there is a record with that number
        assert log.look(connection).first_bad == min(place, other)


@FEW
@given(places=st.sets(PLACES, min_size=1))
def test_a_removed_record_is_found(log, places):
    with unguarded(log.app) as connection:
        for place in places:
            connection.execute(delete(RECORDS).where(log.at(place)))
        assert log.look(connection).first_bad == min(places)


@FEW
@given(places=st.sets(PLACES, min_size=1, max_size=TOTAL - 1))
def test_removed_records_are_found_when_the_rest_is_linked_anew(log, places):
    rows = [row for row in log.rows if row["seq"] not in places]
    with unguarded(log.app) as connection:
        log.replace(connection, relinked(rows))
        assert not log.look(connection).valid


@FEW
@given(place=st.integers(1, TOTAL + 1), source=PLACES, forged=st.booleans())
def test_an_inserted_record_is_found(log, place, source, forged):
    copy = {**log.rows[source - 1], "outcome": "denied"}
    rows = [*log.rows[: place - 1], copy, *log.rows[place - 1 :]]
    numbered = [{**row, "seq": seq} for seq, row in enumerate(rows, 1)]
    with unguarded(log.app) as connection:
        log.replace(connection, relinked(rows) if forged else numbered)
        found = log.look(connection)
    assert not found.valid
    assert found.first_bad <= place
    assert forged or found.first_bad == place


@FEW
@given(places=st.sets(PLACES, min_size=2, max_size=2), forged=st.booleans())
def test_swapped_records_are_found(log, places, forged):
    one, other = sorted(places)
    rows = list(log.rows)
    rows[one - 1], rows[other - 1] = rows[other - 1], rows[one - 1]
    numbered = [{**row, "seq": seq} for seq, row in enumerate(rows, 1)]
    with unguarded(log.app) as connection:
        log.replace(connection, relinked(rows) if forged else numbered)
        found = log.look(connection)
    assert not found.valid
    assert found.first_bad <= one
    assert forged or found.first_bad == one


@FEW
@given(kept=st.integers(0, TOTAL - 1), part=st.sampled_from(PARTS))
def test_a_cut_end_is_found_whatever_else_is_cut(log, kept, part):
    lines = [line for line in log.lines if line.said.seq <= kept]
    with unguarded(log.app) as connection:
        own = RECORDS.c.tenant_id == log.tenant_id
        connection.execute(delete(RECORDS).where(own, RECORDS.c.seq > kept))
        if "checkpoints" in part:
            later = CHECKPOINTS.c.tenant_id == log.tenant_id, CHECKPOINTS.c.seq > kept
            connection.execute(delete(CHECKPOINTS).where(*later))
        if "head" in part:
            head = {"seq": kept, "hash": log.rows[kept - 1]["hash"] if kept else chain.FIRST}
            mine = Head.__table__.c.tenant_id == log.tenant_id
            connection.execute(update(Head.__table__).where(mine).values(**head))
        found = log.look(connection, lines if "anchors" in part else None)
    assert not found.valid
    assert found.first_bad <= kept + 1


@pytest.mark.parametrize("column", ["hash", "signed_at", "signature", "seq"])
def test_a_changed_checkpoint_is_found(log, column):
    with unguarded(log.app) as connection:
        own = CHECKPOINTS.c.tenant_id == log.tenant_id, CHECKPOINTS.c.seq == 8
        value = 7 if column == "seq" else "0" * 24
        connection.execute(update(CHECKPOINTS).where(*own).values({column: value}))
        assert log.look(connection).first_bad == 5


@pytest.mark.parametrize("line", range(BATCHES))
@pytest.mark.parametrize("old", [b'"seq":', b'"hash":"', b"{"])
def test_a_changed_anchor_is_found(app, tmp_path, log, line, old):
    file = anchors(app, log.tenant_id).path
    lines = file.read_bytes().splitlines(keepends=True)
    lines[line] = lines[line].replace(old, old + b"7", 1)
    (changed := tmp_path / "changed").write_bytes(b"".join(lines))
    with unguarded(app) as connection:
        found = log.look(connection, type(anchors(app, ""))(changed).lines())
    assert not found.valid


def test_another_key_signs_nothing(app, log, monkeypatch):
    monkeypatch.setattr(sealer, "signer", lambda: chain.Signer("another secret"))
    assert not verdict(app, log.tenant_id).valid


FORBIDDEN = {
    "update": "UPDATE audit_records SET outcome = 'denied'",
    "delete": "DELETE FROM audit_records WHERE seq = 12",
    "replace by number": "INSERT OR REPLACE INTO audit_records SELECT * FROM audit_records",
    "replace by rowid": """INSERT OR REPLACE INTO audit_records (rowid, tenant_id, seq, id,
        occurred_at, actor_id, action, resource_type, resource_id, outcome, times, prev_hash, hash,
        canonical, personal) SELECT rowid, tenant_id, seq + 100, id, occurred_at, actor_id, action,
        resource_type, resource_id, outcome, times, prev_hash, hash, canonical, personal
        FROM audit_records""",
    "upsert": """INSERT INTO audit_records SELECT * FROM audit_records WHERE true
        ON CONFLICT (tenant_id, seq) DO UPDATE SET outcome = 'denied'""",
    "truncate": "TRUNCATE audit_records",
    "truncate cascade": "TRUNCATE core_tenants CASCADE",
}


@pytest.mark.parametrize("statement", FORBIDDEN)
@pytest.mark.parametrize("recursive", ["ON", "OFF"])
def test_the_database_refuses_changes_even_to_the_owner(app, log, statement, recursive):
    settings_ = app.extensions["treenail"].settings
    sqlite = settings_.database.startswith("sqlite")
    if sqlite == statement.startswith("truncate") or (not sqlite and "replace" in statement):
        return  # that database doesn't know it

    def change() -> None:
        with app.app_context(), owner.transaction(settings_) as connection:
            if sqlite:
                connection.execute(text(f"PRAGMA recursive_triggers = {recursive}"))
            connection.execute(text(FORBIDDEN[statement]))

    with pytest.raises(DBAPIError, match="audit records are never"):
        change()
    assert verdict(app, log.tenant_id).valid


def test_a_deleted_tenant_takes_its_log_along_and_leaves_its_anchors(app):
    tenant = make_tenant(app)
    write(app, tenant.id)
    assert tenant.owner.delete(f"/tenants/{tenant.id}").status == 204
    with app.app_context(), tenant_session(tenant.id, read_only=True) as session:
        assert session.scalar(select(Record.seq)) is None
    assert len(list(anchors(app, tenant.id).lines())) == BATCHES
