"""Columns encrypted at rest, each value bound to its tenant, table, column and row.

A type decorator can't know the row, so a ciphertext moved to another row would open there;
this descriptor knows its instance.
"""

from typing import Any, Protocol, overload

from flask import current_app
from sqlalchemy import LargeBinary
from sqlalchemy.orm import MappedColumn, mapped_column

from treenail.crypto import KeyRing


class Row(Protocol):
    """A model with an identity."""

    __tablename__: str
    id: Any


def keyring() -> KeyRing:
    """The present application's key ring."""
    ring: KeyRing = current_app.extensions["treenail.keyring"]
    return ring


def context(tenant_id: str | None, table: str, column: str, row: str) -> str:
    """What a sealed value is bound to."""
    return f"{tenant_id or '-'}/{table}/{column}/{row}"


class Sealed:
    """An attribute that reads and writes plain bytes over a sealed column.

    ::

        secret_sealed: Mapped[bytes] = sealed_column()
        secret = Sealed("secret_sealed")

    A tenant-owned row must know its tenant before it is written to.
    """

    def __init__(self, column: str) -> None:
        self.column = column

    @overload
    def __get__(self, row: None, owner: type[Any]) -> "Sealed": ...
    @overload
    def __get__(self, row: Row, owner: type[Any]) -> bytes: ...
    def __get__(self, row: Row | None, owner: type[Any]) -> "Sealed | bytes":
        """The plaintext; raises `treenail.crypto.SealError`."""
        if row is None:
            return self
        return keyring().open(getattr(row, self.column), self._context(row))

    def __set__(self, row: Row, plaintext: bytes) -> None:
        """Seal and store."""
        setattr(row, self.column, keyring().seal(plaintext, self._context(row)))

    def _context(self, row: Row) -> str:
        tenant_id = getattr(row, "tenant_id", "")
        if tenant_id is None or row.id is None:
            raise ValueError("a sealed value needs its row's tenant and id first")
        return context(tenant_id, row.__tablename__, self.column, row.id)


def sealed_column() -> MappedColumn[bytes]:
    """The column under a `Sealed` attribute."""
    return mapped_column(LargeBinary)
