"""One row's question: the same condition, in a form that a database answers for a single row.

``x IN (SELECT y FROM t WHERE c)`` is right for a list: the inner rows are read once. Asked
about one row it reads all of them for a single x: 90 µs for somebody with 300 grants, and
linear. ``EXISTS (SELECT y FROM t WHERE c AND y = x)`` finds the one by its index.

Both hold for the same rows; but where the first is unknown (NULL) the second is false. So
only what is joined by AND and OR is rewritten, never what is negated.
"""

from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, and_, or_
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.elements import BinaryExpression, BooleanClauseList, ColumnClause, Grouping
from sqlalchemy.sql.selectable import ScalarSelect, SelectStatementGrouping


def pointwise(condition: Any, *around: FromClause) -> ColumnElement[bool]:
    """The condition on a row of the tables around it, with IN made EXISTS where that is equal."""
    if isinstance(condition, Grouping):
        return pointwise(condition.element, *around)
    if isinstance(condition, BooleanClauseList):
        join = and_ if condition.operator is operators.and_ else or_
        return join(*(pointwise(part, *around) for part in condition.clauses))
    if isinstance(condition, BinaryExpression) and condition.operator is operators.in_op:
        chosen = _plain_select(condition.right)
        if chosen is not None and _apart(condition.left, chosen, around):
            return _exists(condition.left, chosen, around)
    return condition  # type: ignore[no-any-return]


def _exists(x: Any, chosen: Select[Any], around: tuple[FromClause, ...]) -> ColumnElement[bool]:
    tables = (*around, *chosen.get_final_froms())
    within = [pointwise(part, *tables) for part in chosen._where_criteria]
    (y,) = chosen.selected_columns
    narrowed = chosen.where()
    narrowed._where_criteria = (y == x, *within)
    return narrowed.exists()


def _plain_select(right: Any) -> Select[Any] | None:
    """The select of one column in an IN, unless it is more than columns, tables and a WHERE."""
    while isinstance(right, Grouping | ScalarSelect | SelectStatementGrouping):
        right = right.element
    if not isinstance(right, Select) or len(right.selected_columns) != 1:
        return None
    more = (
        right._limit_clause,
        right._offset_clause,
        right._fetch_clause,
        right._having_criteria,
        right._group_by_clauses,
        right._distinct,
    )
    return None if any(part is not None and part not in ((), False) for part in more) else right


def _apart(x: Any, chosen: Select[Any], around: tuple[FromClause, ...]) -> bool:
    """Whether x is of the tables around, and none of those is read again inside."""
    inside = [table for source in chosen.get_final_froms() for table in source._from_objects]
    named = [part.table for part in visitors.iterate(x) if isinstance(part, ColumnClause)]
    return all(table in around for table in named) and not any(t in around for t in inside)
