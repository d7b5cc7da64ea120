"""Presence: identity is the server's, and a connection speaks for one client only."""

from __future__ import annotations

import json

import pytest
from treenail_collab.live.awareness import GONE, Awareness
from treenail_collab.live.hub import DocumentKey, Peer
from treenail_collab.live.protocol import (
    AwarenessEntry,
    Kind,
    ProtocolError,
    decode,
    encode_awareness,
)

DOCUMENT = DocumentKey("acme", "plan")
ADA = Peer(DOCUMENT, "ada", "Ada", None, False)
BOB = Peer(DOCUMENT, "bob", "Bob", None, False)


def payload(client: int, clock: int, state: str = "{}") -> bytes:
    kind, content = decode(encode_awareness([AwarenessEntry(client, clock, state)]))
    assert kind is Kind.AWARENESS
    return content


def test_identity_is_overwritten_and_the_rest_is_kept() -> None:
    awareness = Awareness()
    state = {"user": {"id": "bob", "name": "Bob", "color": "#f00"}, "cursor": [1, 2]}
    awareness.apply(1, ADA, payload(7, 0, json.dumps(state)))
    ((client, clock, text),) = awareness.take_changes()
    user = {"id": "ada", "name": "Ada", "color": "#f00"}
    assert (client, clock, json.loads(text)) == (7, 0, {"user": user, "cursor": [1, 2]})


@pytest.mark.parametrize("state", ["{oops", "", '{"x":NaN}', "[1]", '"x"', "[" * 100_000])
def test_what_is_not_a_json_object_is_refused(state: str) -> None:
    awareness = Awareness()
    with pytest.raises(ProtocolError):
        awareness.apply(1, ADA, payload(7, 0, state))
    assert awareness.take_changes() == []


def test_others_states_are_ignored_even_when_they_are_no_json() -> None:
    awareness = Awareness()
    awareness.apply(1, ADA, payload(7, 0))
    awareness.apply(2, BOB, payload(8, 0))
    awareness.take_changes()
    awareness.apply(2, BOB, payload(7, 5, "{oops"))
    awareness.apply(2, BOB, payload(7, 5, GONE))
    assert awareness.take_changes() == []


def test_a_second_client_id_is_ignored() -> None:
    awareness = Awareness()
    awareness.apply(1, ADA, payload(7, 0))
    awareness.apply(1, ADA, payload(9, 0))
    assert [entry.client for entry in awareness.states()] == [7]


def test_an_old_clock_is_ignored() -> None:
    awareness = Awareness()
    awareness.apply(1, ADA, payload(7, 3))
    awareness.take_changes()
    awareness.apply(1, ADA, payload(7, 3, '{"late":1}'))
    awareness.apply(1, ADA, payload(7, 2, '{"later":1}'))
    assert awareness.take_changes() == []


def test_leaving_is_announced_with_a_newer_clock() -> None:
    awareness = Awareness()
    awareness.apply(1, ADA, payload(7, 3))
    awareness.take_changes()
    awareness.leave(1)
    awareness.leave(1)
    assert awareness.take_changes() == [AwarenessEntry(7, 4, GONE)]
    assert awareness.states() == []


def test_changes_of_one_round_are_announced_once() -> None:
    awareness = Awareness()
    for clock in range(5):
        awareness.apply(1, ADA, payload(7, clock))
    assert [entry.clock for entry in awareness.take_changes()] == [4]
    assert awareness.take_changes() == []


def test_a_client_that_comes_back_is_seen_although_its_clock_is_old() -> None:
    awareness = Awareness()
    awareness.apply(1, ADA, payload(7, 3))
    awareness.leave(1)
    awareness.apply(2, ADA, payload(7, 3))
    (entry,) = awareness.take_changes()
    assert entry.clock > 4
    awareness.apply(2, ADA, payload(7, 4))
    assert awareness.take_changes()[0].clock > entry.clock


def test_a_client_may_come_back_before_its_old_socket_is_known_to_be_dead() -> None:
    awareness = Awareness()
    awareness.apply(1, ADA, payload(7, 3))
    awareness.apply(2, ADA, payload(7, 3))
    awareness.take_changes()
    awareness.leave(1)
    assert awareness.take_changes() == []
    assert [entry.client for entry in awareness.states()] == [7]


def test_nobody_speaks_for_one_who_has_left() -> None:
    awareness = Awareness()
    awareness.apply(1, ADA, payload(7, 3))
    awareness.leave(1)
    awareness.take_changes()
    awareness.apply(2, BOB, payload(7, 3))
    awareness.apply(2, BOB, payload(8, 0))
    assert [entry.client for entry in awareness.take_changes()] == [8]


def test_repeating_that_somebody_is_gone_claims_nothing() -> None:
    awareness = Awareness()
    awareness.apply(2, BOB, payload(7, 3, GONE))
    awareness.apply(2, BOB, payload(8, 0))
    assert [entry.client for entry in awareness.states()] == [8]
