"""Who is in a document and where: the server's side of the y-protocols awareness.

The server is the authority on identity: ``user.id`` and ``user.name`` of a state are overwritten
from the connection's peer, and a connection speaks for one Yjs client id only. What a provider
re-broadcasts of other clients' states is ignored, for it repeats everything it hears.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Never

from treenail_collab.live.interfaces import Peer
from treenail_collab.live.protocol import AwarenessEntry, ProtocolError, decode_awareness

GONE = "null"
_REMEMBERED_DEPARTURES = 1024


@dataclass
class Presence:
    """One client: the clock it last sent, the clock and state last announced, and its owner."""

    owner: int
    user_id: str
    heard: int
    clock: int
    state: str


def _refuse_constant(name: str) -> Never:
    raise ValueError(name)


def identified(state: str, peer: Peer) -> str:
    """``state`` (JSON text) with the peer's identity in it; ``null`` stays as it is.

    Raises ProtocolError when it is not JSON (NaN and Infinity are not) or not an object.
    """
    try:
        value: Any = json.loads(state, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise ProtocolError("awareness state is not JSON") from None
    if value is None:
        return GONE
    if not isinstance(value, dict):
        raise ProtocolError("awareness state is not an object")
    user = value.get("user")
    shown = user if isinstance(user, dict) else {}
    value["user"] = {**shown, "id": peer.user_id, "name": peer.name}
    return json.dumps(value, separators=(",", ":"))


class Awareness:
    """The states of one room's members, keyed by Yjs client id; changes wait to be announced."""

    def __init__(self) -> None:
        self._present: dict[int, Presence] = {}
        self._owned: dict[int, int] = {}
        self._departed: OrderedDict[int, Presence] = OrderedDict()
        self._changed: dict[int, AwarenessEntry] = {}

    def apply(self, connection: int, peer: Peer, payload: bytes) -> None:
        """Take in what ``connection`` says. Raises ProtocolError, and then nothing is taken in."""
        own = [
            entry._replace(state=identified(entry.state, peer))
            for entry in decode_awareness(payload)
            if not self._is_hearsay(connection, peer, entry.client)
        ]
        for entry in own:
            self._accept(connection, peer, entry)

    def _is_hearsay(self, connection: int, peer: Peer, client: int) -> bool:
        """Whether ``client`` is, or was, somebody else: then not even its JSON is looked at."""
        own = self._owned.get(connection)
        if own == client:
            return False
        known = self._present.get(client) or self._departed.get(client)
        # A client that comes back over a new socket keeps its id, and its old socket may not be
        # known to be dead yet.
        return known is not None and (own is not None or known.user_id != peer.user_id)

    def _accept(self, connection: int, peer: Peer, entry: AwarenessEntry) -> None:
        client = entry.client
        own = self._owned.get(connection)
        if own is None:
            if entry.state == GONE:
                return
            clock = self._claim(connection, client, entry.clock)
        elif own != client:
            return
        else:
            known = self._present[client]
            if entry.clock < known.heard or (entry.clock == known.heard and entry.state != GONE):
                return
            clock = max(entry.clock, known.clock + 1)
        self._present[client] = Presence(connection, peer.user_id, entry.clock, clock, entry.state)
        self._changed[client] = AwarenessEntry(client, clock, entry.state)

    def _claim(self, connection: int, client: int, clock: int) -> int:
        """Make ``client`` this connection's; returns a clock newer than any announced."""
        before = self._present.get(client) or self._departed.pop(client, None)
        if before is not None:
            self._owned.pop(before.owner, None)
            # A provider reconnects with the clock it had, which others have seen.
            clock = max(clock, before.clock + 1)
        self._owned[connection] = client
        return clock

    def leave(self, connection: int) -> None:
        """Announce the connection's client as gone, with a clock beyond its last."""
        client = self._owned.pop(connection, None)
        if client is None:
            return
        presence = self._present.pop(client)
        presence.clock += 1
        self._departed[client] = presence
        if len(self._departed) > _REMEMBERED_DEPARTURES:
            self._departed.popitem(last=False)
        self._changed[client] = AwarenessEntry(client, presence.clock, GONE)

    def states(self) -> list[AwarenessEntry]:
        """Everybody who is present."""
        return [
            AwarenessEntry(client, presence.clock, presence.state)
            for client, presence in self._present.items()
            if presence.state != GONE
        ]

    def take_changes(self) -> list[AwarenessEntry]:
        """What has changed since the last call, one entry a client."""
        changed = list(self._changed.values())
        self._changed.clear()
        return changed
