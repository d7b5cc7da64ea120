"""Verification: is the log what was once written, all of it and nothing else?

Three things are held against one another: the records and their links; the signed checkpoints
and the head in the database; the anchors outside it. A record that was changed doesn't fit its
own hash, a chain made anew from there on fits no signature, and one that was cut is shorter
than its head, its checkpoints or its anchors say.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, select, text
from treenail import platform
from treenail.db import db, rls

from treenail_audit import chain, sealer
from treenail_audit.anchors import Anchors, Line
from treenail_audit.chain import FIRST, Statement
from treenail_audit.models import Checkpoint, Head, Record

AT_ONCE = 200
TOLD_EVERY = 10_000
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Verdict:
    """Whether the log is whole, how many records were looked at, and the first bad one.

    ``first_bad`` is the number of the first record that isn't as it was, is missing, or that
    nothing vouches for.
    """

    valid: bool
    checked: int
    first_bad: int | None


@dataclass
class _Findings:
    """Which hash is vouched for where, how far the chain was signed, and what is bad."""

    vouched: dict[int, str] = field(default_factory=dict)
    signed_to: int = 0
    bad: list[int] = field(default_factory=list)

    def vouch(self, seq: int, hash_: str, after: int) -> None:
        """Somebody says that the record has this hash; ``after`` is where they said so before."""
        if self.vouched.setdefault(seq, hash_) != hash_:
            self.bad.append(after + 1)


def verify(tenant_id: str, progress: Progress = lambda checked: None) -> Verdict:
    """Look at a tenant's whole log, as it is at one moment.

    ``progress`` is told every so often how many records were looked at.
    """
    # First, for the database only grows: what is anchored by now must be in it.
    lines = list(Anchors.of(platform.current().settings, tenant_id).lines())
    with _snapshot(tenant_id) as connection:
        return look(connection, tenant_id, lines, progress)


def look(
    connection: Connection,
    tenant_id: str,
    anchors: Iterable[Line | None],
    progress: Progress = lambda checked: None,
) -> Verdict:
    """The same through a connection, and with the lines of the anchors' file."""
    found = _Findings()
    _hear_anchors(found, anchors)
    _hear_database(found, connection, tenant_id)
    with closing(_records(connection, tenant_id)) as rows:
        checked = _walk(found, rows, progress)
    return Verdict(not found.bad, checked, min(found.bad, default=None))


def _hear_anchors(found: _Findings, lines: Iterable[Line | None]) -> None:
    """What was said outside; the last line has to be signed, whatever a chain says of the rest."""
    before, last = 0, None
    for line in lines:
        if line is None:
            found.bad.append(before + 1)
            continue
        found.vouch(line.said.seq, line.said.hash, before)
        if last is not None:
            before = last.said.seq
        last = line
    if last is not None and not sealer.signer().holds(last.said, last.signature):
        found.bad.append(before + 1)


def _hear_database(found: _Findings, connection: Connection, tenant_id: str) -> None:
    """The checkpoints, each with its signature, and the head, which is at the last of them."""
    own = Checkpoint.tenant_id == tenant_id
    columns = Checkpoint.seq, Checkpoint.hash, Checkpoint.signed_at, Checkpoint.signature
    for row in connection.execute(select(*columns).where(own).order_by(Checkpoint.block)):
        said = Statement(tenant_id, row.seq, row.hash, row.signed_at)
        if not sealer.signer().holds(said, row.signature):
            found.bad.append(found.signed_to + 1)
            return
        found.vouch(row.seq, row.hash, found.signed_to)
        found.signed_to = row.seq
    mine = select(Head.seq, Head.hash).where(Head.tenant_id == tenant_id)
    head = connection.execute(mine).one_or_none()
    seq, hash_ = head or (0, FIRST)
    if seq != found.signed_to:
        found.bad.append(min(seq, found.signed_to) + 1)
    elif seq:
        found.vouch(seq, hash_, seq - 1)


def _walk(found: _Findings, rows: Iterable[Any], progress: Progress) -> int:
    """From the first record to the last, or the first bad one; how many there were."""
    checked, sure, last = 0, 0, FIRST.encode()
    vouched = {seq: hash_.encode() for seq, hash_ in found.vouched.items()}
    for seq, hash_, lines in rows:
        checked += 1
        fits = sha256(lines).hexdigest().encode() == hash_
        if seq != checked or not fits or not lines.startswith(last):
            found.bad.append(min(seq, checked))
            return checked
        if seq in vouched:
            if vouched[seq] != hash_:
                found.bad.append(sure + 1)
                return checked
            sure = seq
        last = hash_
        if checked % TOLD_EVERY == 0:
            progress(checked)
    if checked != found.signed_to or checked < max(vouched, default=0):
        found.bad.append(min(checked, found.signed_to) + 1)
    return checked


def _records(connection: Connection, tenant_id: str) -> Generator[Any, None, None]:
    """Number, hash and lines of every record, in order; bytes, whatever was done to them."""
    dialect = connection.dialect.name
    columns = Record.seq, chain.stored(dialect, Record.hash), chain.lines(dialect, tenant_id)
    wanted = select(*columns).where(Record.tenant_id == tenant_id).order_by(Record.seq)
    if dialect == "postgresql":
        with connection.execution_options(yield_per=AT_ONCE).execute(wanted) as result:
            yield from result
        return
    cursor: Any = connection.execute(wanted).cursor  # as the driver has them, a fifth faster
    while rows := cursor.fetchmany(AT_ONCE):
        yield from rows


@contextmanager
def _snapshot(tenant_id: str) -> Iterator[Connection]:
    """A reading transaction that sees one moment."""
    with rls.transaction(db.engine, tenant_id, read_only=True) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        yield connection
