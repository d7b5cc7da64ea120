"""Bringing a Doc to the state its updates describe, in whatever order they came.

An update whose dependencies are missing waits inside the Doc. pycrdt 0.14.13 does not always take
it up again when they arrive: after a text's second letter and a map's key, both waiting for the
first letter, the first letter brings the key and not the second letter. What the Doc lacks shows
in its state vector, and applying the same update again integrates it; so whatever still waits is
applied again until that changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pycrdt import Doc

from treenail_collab.live.protocol import is_integrated


def replay(doc: Doc[Any], updates: Sequence[bytes]) -> list[bytes]:
    """Apply ``updates`` in one transaction; returns those that still wait for something.

    Raises ValueError for what is not an update.
    """
    with doc.transaction():
        rest = list(updates)
        if rest and _is_snapshot(doc, rest[0]):
            rest = rest[1:]
        for update in rest:
            doc.apply_update(update)
        state = doc.get_state()
        return resolve(doc, [update for update in rest if not is_integrated(update, state)])


def _is_snapshot(doc: Doc[Any], update: bytes) -> bool:
    """Apply ``update``; whether it is now the whole of ``doc``, so that nothing of it can wait.

    A fifth of the time ``is_integrated`` takes, and the first row is most of a document.
    """
    doc.apply_update(update)
    return doc.get_update() == update


def resolve(doc: Doc[Any], waiting: list[bytes]) -> list[bytes]:
    """Apply what waits again, as often as that brings something; returns what still waits."""
    with doc.transaction():
        before = b""
        while waiting and (state := doc.get_state()) != before:
            before = state
            # One by one: pycrdt integrates less of an update that has gaps, as merged ones may.
            for update in waiting:
                doc.apply_update(update)
            state = doc.get_state()
            waiting = [update for update in waiting if not is_integrated(update, state)]
    return waiting
