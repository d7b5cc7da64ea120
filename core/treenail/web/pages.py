"""Lists in pages: keyset cursors, so that a page costs the same wherever it is."""

import base64
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import orjson
from marshmallow import fields, validate
from sqlalchemy import Integer, Select, bindparam, literal, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from treenail import platform
from treenail.db import Plan, Row, Runs, Timestamp
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


@dataclass(frozen=True)
class Order:
    """A list's order: its public name, and the column (never null) it goes by."""

    name: str
    column: InstrumentedAttribute[Any]
    descending: bool = True


def paginate(
    session: Session,
    statement: Select[Any],
    key: InstrumentedAttribute[str],
    page: PageRequest,
    order: Order | None = None,
) -> Page[Any]:
    """One page in an order, else newest first by the key (an id: UUIDv7 sorts by time).

    Rows whose values are equal stand in the key's order, so none is shown twice or never.
    Raises `Invalid` for a cursor that this didn't make, or made for another order.
    """
    order = order or Order("", key)
    columns = [key] if order.column is key else [order.column, key]
    if page.cursor is not None:
        values = _values(page.cursor, order.name, columns)
        last = tuple_(*(literal(v, c.type) for v, c in zip(values, columns, strict=True)))
        place = tuple_(*columns)
        statement = statement.where(place < last if order.descending else place > last)
    by = [column.desc() if order.descending else column.asc() for column in columns]
    rows = session.execute(statement.order_by(*by).limit(page.limit + 1)).all()
    more, shown = len(rows) > page.limit, rows[: page.limit]
    cursor = _encode(order.name, [getattr(shown[-1][0], c.key) for c in columns]) if more else None
    return Page([row[0] if len(row) == 1 else row for row in shown], cursor)


def paginate_rows(
    runs: Runs,
    kept_for: Hashable,
    build: Callable[[], Select[Any]],
    key: InstrumentedAttribute[str],
    page: PageRequest,
    order: Order | None = None,
    **values: Any,
) -> Page[Row]:
    """The same off the ORM, for lists that are asked for all the time.

    The select is built once and kept (`treenail.db.Plan`): ``kept_for`` says whatever it is
    built from, ``values`` are those of its open parameters.
    """
    order = order or Order("", key)
    columns = [key] if order.column is key else [order.column, key]
    last = _values(page.cursor, order.name, columns) if page.cursor is not None else []
    found = runs.rows(
        platform.current().keep(
            (paginate_rows, kept_for, order.name, bool(last)),
            lambda: Plan(lambda: _one_page(build(), columns, order, bool(last))),
        ),
        page_limit=page.limit + 1,
        **{f"after_{n}": value for n, value in enumerate(last)},
        **values,
    )
    more, shown = len(found) > page.limit, found[: page.limit]
    cursor = _encode(order.name, [getattr(shown[-1], c.key) for c in columns]) if more else None
    return Page(shown, cursor)


def _one_page(
    statement: Select[Any], columns: list[InstrumentedAttribute[Any]], order: Order, later: bool
) -> Select[Any]:
    if later:
        after = [bindparam(f"after_{n}", type_=c.type) for n, c in enumerate(columns)]
        place = tuple_(*columns)
        last = tuple_(*after)
        statement = statement.where(place < last if order.descending else place > last)
    by = [column.desc() if order.descending else column.asc() for column in columns]
    return statement.order_by(*by).limit(bindparam("page_limit", type_=Integer))


def _encode(name: str, values: list[Any]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([name, *values])).decode()


def _values(cursor: str, name: str, columns: list[InstrumentedAttribute[Any]]) -> list[Any]:
    """The last row's values; the id at their end is as this writes it."""
    try:
        made_for, *values = orjson.loads(base64.urlsafe_b64decode(cursor.encode()))
        if made_for != name or not is_id(values[-1]):
            raise ValueError("made for another list")
        return [_value(c, value) for c, value in zip(columns, values, strict=True)]
    except (LookupError, TypeError, ValueError, OverflowError):
        raise Invalid({"cursor": ["Not a cursor of this list."]}) from None


def _value(column: InstrumentedAttribute[Any], value: Any) -> Any:
    if isinstance(column.type, Timestamp):
        value = datetime.fromisoformat(value).astimezone(UTC)
    elif not isinstance(value, column.type.python_type) or "\0" in str(value):
        raise ValueError("another type")
    return value
