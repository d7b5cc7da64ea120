"""What the hub is given and what it asks for: documents, peers, the journal, the limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class DocumentKey:
    """Names a document across tenants."""

    tenant_id: str
    document_id: str


@dataclass(frozen=True)
class Peer:
    """Who sits behind one socket, as the server knows it, and what they may do."""

    document: DocumentKey
    user_id: str
    name: str
    session_id: str | None
    read_only: bool
    rights: int = 0
    """Which state of their rights they were admitted under; grows with every change of them."""


@dataclass(frozen=True)
class Entry:
    """What one round of the loop changed in one document: a Yjs update, and who wrote it."""

    document: DocumentKey
    data: bytes
    user_ids: tuple[str, ...]


class Journal(Protocol):
    """Where updates are kept. Called from several threads; from the loop's only ``forget``."""

    def load(self, document: DocumentKey) -> list[bytes]:
        """Open a document: its snapshot first, then the updates in order; empty for a new one."""

    def read(self, document: DocumentKey) -> list[bytes]:
        """The same for a mere look: nothing will be appended."""

    def append(self, entries: Sequence[Entry]) -> None:
        """Store all entries in one durable transaction. When it raises, nothing is stored."""

    def released(self, document: DocumentKey) -> None:
        """The last member has left and all is committed: compaction may be due."""

    def forget(self, document: DocumentKey) -> None:
        """The document is no longer open, until it is loaded again. Must not wait."""


@dataclass(frozen=True)
class Limits:
    """Bounds on what peers may ask of the server; sizes in bytes, times in seconds."""

    message_bytes: int = 16 * 2**20
    """A message announced longer is refused unread: 1009."""
    document_bytes: int = 64 * 2**20
    """The compacted size a document may reach: 1009 for whoever would exceed it."""
    queue_bytes: int = 2**20
    """What may wait for one slow reader before its frames are dropped for one later diff."""
    awareness_bytes: int = 64 * 2**10
    """The longest awareness message: 1009."""
    waiting_bytes: int = 64 * 2**20
    """Received and not yet applied: above this the loop stops reading until a commit ends."""
    stall_seconds: float = 30.0
    """A reader whose queue has made no progress for so long is closed: 1013."""
    ping_seconds: float = 30.0
    """A peer silent for so long is pinged, and dropped after as long again."""
    round_seconds: float = 0.003
    """The least time between the beginnings of two rounds."""
    linger_seconds: float = 2.0
    """How long a closed peer has to take its close frame before the socket goes."""
