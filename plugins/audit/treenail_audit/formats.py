"""Exports as text: a JSON object a line, or a table that spreadsheets don't run."""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

COLUMNS = (
    *("seq", "id", "at", "actorId", "action", "resourceType", "resourceId", "outcome"),
    *("status", "code", "method", "route", "requestId", "ip", "userAgent", "fields"),
    *("arguments", "events", "count", "prevHash", "hash"),
)
STARTS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
TYPES = {"ndjson": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}


def written(kind: str, records: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """The records in the format, piece by piece."""
    return _csv(records) if kind == "csv" else _ndjson(records)


def _ndjson(records: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    for record in records:
        yield orjson.dumps(record) + b"\n"


def _csv(records: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for record in records:
        writer.writerow([_cell(record.get(name)) for name in COLUMNS])
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()
    yield text.getvalue().encode()


def _cell(value: Any) -> Any:
    """A cell that is shown and never computed (OWASP, CSV injection)."""
    if value is None:
        return ""
    if isinstance(value, list | dict):
        value = orjson.dumps(value).decode()
    if isinstance(value, str) and value.startswith(STARTS_A_FORMULA):
        return f"'{value}"
    return value
