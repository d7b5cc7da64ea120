"""Lists in pages: keyset cursors, so that a page costs the same wherever it is."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from marshmallow import fields, validate
from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute, Session

from treenail.errors import Invalid
from treenail.ids import is_id
from treenail.schemas import Schema

T = TypeVar("T")
DEFAULT_LIMIT, MAX_LIMIT = 50, 200


@dataclass(frozen=True)
class PageRequest:
    """How many items, after which one."""

    limit: int = DEFAULT_LIMIT
    cursor: str | None = None


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some items, and where the next ones begin (None at the end)."""

    items: Sequence[T]
    next_cursor: str | None = None


class PageQuery(Schema):
    """``?limit=&cursor=`` of every list."""

    limit = fields.Integer(
        load_default=DEFAULT_LIMIT, validate=validate.Range(1, MAX_LIMIT), strict=False
    )
    cursor = fields.String(load_default=None)


def paginate(
    session: Session,
    statement: Select[Any],
    key: InstrumentedAttribute[str],
    page: PageRequest,
) -> Page[Any]:
    """One page, newest first by the key (an id: UUIDv7 sorts by time).

    Raises `Invalid` for a cursor that this didn't make.
    """
    if page.cursor is not None:
        statement = statement.where(key < _decode(page.cursor))
    rows = session.execute(statement.order_by(key.desc()).limit(page.limit + 1)).all()
    more, shown = len(rows) > page.limit, rows[: page.limit]
    last = getattr(shown[-1][0], key.key) if more else None
    items = [row[0] if len(row) == 1 else row for row in shown]
    return Page(items, last and base64.urlsafe_b64encode(last.encode()).decode())


def _decode(cursor: str) -> str:
    try:
        key = base64.urlsafe_b64decode(cursor.encode()).decode()
    except (binascii.Error, UnicodeError):
        key = ""
    if not is_id(key):
        raise Invalid({"cursor": ["Not a cursor of this list."]})
    return key
