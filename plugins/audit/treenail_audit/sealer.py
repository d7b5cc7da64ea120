"""The sealer: moves acts from the inbox into the chain, one sealer at a time for each tenant.

A batch is one transaction: records, the chain's new end and its checkpoint are written and
the inbox emptied, or none of it. The lock on the tenant's `Head` lasts as long. Whatever is
killed in between leaves a valid chain, and the next one goes on.
"""

from collections.abc import Sequence
from typing import Any, cast

import orjson
import structlog
from sqlalchemy import Table, delete, false, select, update
from treenail import platform
from treenail.clock import rfc3339, utcnow
from treenail.db import SystemSession, system_session
from treenail.db.upsert import upsert
from treenail.events import emit

from treenail_audit import inbox, subjects
from treenail_audit.anchors import Anchors
from treenail_audit.chain import FIRST, Signer, Statement, digest
from treenail_audit.models import Checkpoint, Head, Record, Waiting
from treenail_audit.subjects import place

BATCH = 1000
BLOCK = 1000
RECORDS = cast(Table, Record.__table__)
CHECKPOINT = "audit.checkpoint"
log = structlog.get_logger("treenail.audit")


def seal_all() -> None:
    """Seal and anchor whatever waits, of every tenant; a failing one keeps none waiting."""
    for tenant_id in inbox.tenants_with_work():
        try:
            seal(tenant_id)
        except Exception:
            log.exception("not_sealed", tenant_id=tenant_id)


def seal(tenant_id: str) -> int:
    """Seal what waits of a tenant's, and anchor its end; the number of new records."""
    sealed = 0
    while found := _seal_batch(tenant_id):
        sealed += found
    _anchor(tenant_id)
    return sealed


def signer() -> Signer:
    """Whoever signs in the present deployment."""
    current = platform.current()
    return current.keep(Signer, lambda: Signer(current.settings.secret_key))


def _seal_batch(tenant_id: str) -> int:
    with system_session("seal") as session:
        head = _locked_head(session, tenant_id)
        taken = _take(session, tenant_id)
        if taken:
            records = _linked(session, head, taken)
            session.put_rows(RECORDS, records)
            head.seq, head.hash = records[-1]["seq"], records[-1]["hash"]
            session.flush()
            _sign(session, head, len(records))
    return len(taken)


def _locked_head(session: SystemSession, tenant_id: str) -> Head:
    mine = select(Head).where(Head.tenant_id == tenant_id).with_for_update()
    found = session.scalar(mine)
    if found is None:
        upsert(session, Head, {"tenant_id": tenant_id}, {"seq": 0, "hash": FIRST}, where=false())
        found = session.scalars(mine).one()
    return found


def _take(session: SystemSession, tenant_id: str) -> Sequence[Any]:
    """Rows of the inbox, which are out of it: read and deleted at once."""
    first = (
        select(Waiting.id)
        .where(Waiting.tenant_id == tenant_id, inbox.is_due())
        .order_by(Waiting.id)
        .limit(BATCH)
    )
    taken = (
        delete(Waiting)
        .where(Waiting.tenant_id == tenant_id, Waiting.id.in_(first))
        .returning(Waiting.id, Waiting.entry, Waiting.personal, Waiting.times)
        .execution_options(synchronize_session=False)
    )
    return sorted(session.execute(taken).all())


def _linked(session: SystemSession, head: Head, taken: Sequence[Any]) -> list[dict[str, Any]]:
    said = [orjson.loads(entry) for _, entry, *_ in taken]
    keys = subjects.keys_to_write_with(session, head.tenant_id, {one["actorId"] for one in said})
    records: list[dict[str, Any]] = []
    seq, last = head.seq, head.hash
    for one, (act_id, entry, personal, times) in zip(said, taken, strict=True):
        seq += 1
        actor_id = one["actorId"]
        row = {
            "tenant_id": head.tenant_id,
            "seq": seq,
            "id": act_id,
            "occurred_at": one["at"],
            "actor_id": actor_id,
            "action": one["action"],
            "resource_type": one["resourceType"],
            "resource_id": one.get("resourceId", ""),
            "outcome": one["outcome"],
            "times": times,
            "prev_hash": last,
            "canonical": entry.decode(),
            "personal": keys.lock(actor_id, personal, place(head.tenant_id, act_id)),
        }
        row["hash"] = last = digest(row)
        records.append(row)
    return records


def _sign(session: SystemSession, head: Head, records: int) -> None:
    said = Statement(head.tenant_id, head.seq, head.hash, rfc3339(utcnow()))
    signature = signer().sign(said)
    key = {"tenant_id": head.tenant_id, "block": head.seq // BLOCK}
    end = {"seq": said.seq, "hash": said.hash, "signed_at": said.signed_at}
    upsert(session, Checkpoint, key, {**end, "signature": signature})
    data = {"seq": said.seq, "hash": said.hash, "signedAt": said.signed_at, "records": records}
    data |= {"signature": signature, "publicKey": signer().public_key}
    emit(session, CHECKPOINT, data, subject=head.tenant_id, tenant_id=head.tenant_id)


def _anchor(tenant_id: str) -> None:
    """Write the chain's end outside the database, and remember that it was."""
    latest = select(Checkpoint).where(Checkpoint.tenant_id == tenant_id)
    with system_session("anchor", read_only=True) as session:
        anchored = session.scalar(select(Head.anchored_seq).where(Head.tenant_id == tenant_id))
        found = session.scalars(latest.order_by(Checkpoint.block.desc()).limit(1)).one_or_none()
    if anchored is None or found is None or anchored >= found.seq:
        return
    said = Statement(tenant_id, found.seq, found.hash, found.signed_at)
    Anchors.of(platform.current().settings, tenant_id).append(said, found.signature)
    with system_session("anchor") as session:
        mine = Head.tenant_id == tenant_id, Head.anchored_seq < found.seq
        session.execute(update(Head).where(*mine).values(anchored_seq=found.seq))
