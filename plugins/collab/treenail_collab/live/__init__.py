"""The hub: sockets, rooms and the one loop that serves them; knows no Flask and no database."""

from treenail_collab.live.hub import Hub
from treenail_collab.live.interfaces import DocumentKey, Entry, Journal, Limits, Peer

__all__ = ["DocumentKey", "Entry", "Hub", "Journal", "Limits", "Peer"]
