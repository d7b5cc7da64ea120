"""The same documents for every peer."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

DOCUMENTS = 10_000
"""All of them lie in the tenant that is read; another tenant has one of its own."""

READ = range(0, DOCUMENTS, 10)
"""The numbers of the documents that the generator reads in turn."""

BODY_LENGTH = 300
START = datetime(2026, 1, 1, tzinfo=UTC)
EMAIL, PASSWORD = "reader@bench.example.org", "bench-rest-2026"
OTHER = "stranger@bench.example.org"


@dataclass(frozen=True)
class Document:
    """One document; the greater its number, the later it was changed."""

    number: int
    title: str
    body: str
    updated: datetime


def documents() -> Iterator[Document]:
    """Every document of the tenant that is read."""
    for number in range(DOCUMENTS):
        yield Document(number, f"Document {number}", body(number), START + timedelta(number / 1e4))


def body(number: int) -> str:
    """Text of `BODY_LENGTH` characters, different for each document."""
    return (f"{number:05} " + "measure twice, cut once; " * 12)[:BODY_LENGTH]
