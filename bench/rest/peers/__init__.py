"""The servers that are compared, each in a file of its own with the same interface."""

from peers.bare import Bare
from peers.directus import Directus
from peers.drf import DjangoRest
from peers.peer import CannotInstall, Peer, Plan
from peers.platform import Treenail
from peers.pocketbase import PocketBase

PEERS: dict[str, Peer] = {
    peer.name: peer for peer in (Treenail(), Bare(), DjangoRest(), PocketBase(), Directus())
}

__all__ = ["PEERS", "CannotInstall", "Peer", "Plan"]
