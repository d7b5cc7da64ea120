"""Replaying: what has come is integrated, whatever the order it came in."""

from __future__ import annotations

from itertools import permutations
from typing import Any

from pycrdt import Doc, Map, Text
from treenail_collab.live.replay import replay, resolve


def typed() -> tuple[Doc[Any], list[bytes]]:
    """Two letters, a key, and another letter of one client, one update each."""
    doc, updates = Doc[Any](), list[bytes]()
    text, keys = doc.get("t", type=Text), doc.get("m", type=Map)
    subscription = doc.observe(lambda event: updates.append(bytes(event.update)))
    text.insert(0, "a")
    text.insert(1, "b")
    keys["x"] = 1
    text.insert(2, "c")
    doc.unobserve(subscription)
    return doc, updates


def test_the_order_does_not_matter() -> None:
    whole, updates = typed()
    for order in permutations(updates):
        doc = Doc[Any]()
        assert replay(doc, order) == []
        assert doc.get_update() == whole.get_update()


def test_what_waits_is_returned_and_taken_up_later() -> None:
    whole, (first, *others) = typed()
    doc = Doc[Any]()
    waiting = replay(doc, others)
    assert waiting == others
    doc.apply_update(first)
    assert resolve(doc, waiting) == []
    assert doc.get_update() == whole.get_update()
