"""Anchors: the signed ends of a tenant's chain, kept outside the database.

A file per tenant, ``$TREENAIL_DATA/audit/<tenant>.jsonl``, to which lines are only ever
added. Who can write to the database but not to it can't cut the chain's end off unseen.
"""

import fcntl
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson
from treenail.settings import CoreSettings

from treenail_audit.chain import Statement, canonical

TAIL = 4096
"""More bytes than a line has."""


@dataclass(frozen=True)
class Line:
    """What was said, and its signature."""

    said: Statement
    signature: str


@dataclass(frozen=True)
class Anchors:
    """The file of a tenant."""

    path: Path

    @classmethod
    def of(cls, settings: CoreSettings, tenant_id: str) -> "Anchors":
        """The file of a tenant of this deployment."""
        return cls(settings.data_dir / "audit" / f"{tenant_id}.jsonl")

    def append(self, said: Statement, signature: str) -> None:
        """Add a line that is on disk when this returns, unless the file is as far already."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        line = canonical({**asdict(said), "signature": signature}) + b"\n"
        with open(self.path, "a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if _whole_end(file.fileno()) < said.seq:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())

    def lines(self) -> Iterator[Line | None]:
        """Every line, oldest first; None for one that is none.

        What a killed process has left of a line doesn't count.
        """
        if not self.path.exists():
            return
        with open(self.path, "rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield _parsed(line)


def _parsed(line: bytes) -> Line | None:
    try:
        found = orjson.loads(line)
        signature = str(found.pop("signature"))
        return Line(Statement(**found), signature)
    except (ValueError, TypeError, AttributeError, KeyError):
        return None


def _whole_end(file: int) -> int:
    """The number in the last whole line; what a killed process left after it is cut off."""
    size = os.fstat(file).st_size
    tail = os.pread(file, TAIL, max(0, size - TAIL))
    whole, _, torn = tail.rpartition(b"\n")
    if torn:
        os.ftruncate(file, size - len(torn))
    parsed = _parsed(whole.rpartition(b"\n")[2])
    return parsed.said.seq if parsed else 0
