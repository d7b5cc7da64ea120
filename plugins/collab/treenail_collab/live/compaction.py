"""Folding a document's log into its snapshot.

Why nothing is lost: an update is one of three kinds after the replay. *Integrated*: all its
structs lie below the replayed state vector and its deletions name only such structs, so the new
snapshot (the whole of the replayed document) says all it said. *Pending*, wholly or in part:
something it refers to has not arrived; the document's encoding leaves that out, so the row must
stay. *Unreadable*: it stays too, and compaction is no judge of it. Applying an update twice
changes nothing, so a row that is both in the snapshot and in the log does no harm, and a crash
between storing the snapshot and deleting the rows does not either.

The replay is one transaction: merging all rows with ``merge_updates`` takes quadratic time
(50,000 rows: 9.2 s against 0.1 s).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from pycrdt import Doc

from treenail_collab.live.protocol import is_integrated
from treenail_collab.live.replay import resolve


class Compacted(NamedTuple):
    """A new snapshot, and the sequence numbers of the rows it makes superfluous."""

    snapshot: bytes
    integrated: list[int]


def compact(snapshot: bytes | None, rows: Sequence[tuple[int, bytes]]) -> Compacted:
    """Replay ``snapshot`` and ``rows`` (sequence number, update; in order).

    Raises ValueError when the snapshot itself cannot be read: nothing may be deleted then.
    """
    doc: Doc[Any] = Doc()
    with doc.transaction():
        if snapshot is not None:
            doc.apply_update(snapshot)
        readable = [row for row in rows if _applies(doc, row[1])]
        state = doc.get_state()
        resolve(doc, [data for _, data in readable if not is_integrated(data, state)])
    state = doc.get_state()
    integrated = [sequence for sequence, data in readable if is_integrated(data, state)]
    return Compacted(doc.get_update(), integrated)


def _applies(doc: Doc[Any], update: bytes) -> bool:
    try:
        doc.apply_update(update)
    except BaseException:  # noqa: BLE001 - a panic in pycrdt is one; either way the row is kept
        return False
    return True
