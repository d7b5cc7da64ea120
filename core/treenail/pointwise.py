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
        x, chosen = condition.left, _plain_select(condition.right)
        # x is of the tables around, and none of those is read again inside.
        if chosen is not None and _tables(x) <= {*around} and _tables(chosen).isdisjoint(around):
            return _exists(x, chosen, (*around, *_tables(chosen)))
    return condition  # type: ignore[no-any-return]


def _exists(x: Any, chosen: Select[Any], tables: tuple[Any, ...]) -> ColumnElement[bool]:
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


def _tables(root: Any) -> set[Any]:
    """Every table of which a column is named."""
    return {part.table for part in visitors.iterate(root) if isinstance(part, ColumnClause)}
