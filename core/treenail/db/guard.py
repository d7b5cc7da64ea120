"""Wall 2: a session bound to a tenant reads and writes that tenant's rows, or refuses.

It fails closed: a statement that can't be given the tenant's criterion is refused, also
where it would have been harmless. SQLAlchemy's ``with_loader_criteria`` alone lets 18 of 52
statement forms through; what it can't reach is refused here.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Alias, FromClause, Join, Select, TextClause, inspect
from sqlalchemy.orm import ORMExecuteState, with_loader_criteria
from sqlalchemy.sql import ClauseElement, visitors
from sqlalchemy.sql.dml import Insert, Update, UpdateBase
from sqlalchemy.sql.elements import ColumnClause

from treenail.db.base import Tenanted, tenanted_tables


class TenancyError(Exception):
    """A programming error: something would have left, or could leave, the tenant."""


def scope(state: ORMExecuteState, tenant_id: str) -> None:
    """Refuse what can't be scoped; add the tenant's criterion to what can."""
    statement = state.statement
    if isinstance(statement, UpdateBase):
        _refuse_unscoped_write(state, statement)
    if not _is_sqlalchemys_own(state):
        for element in visitors.iterate(statement):  # type: ignore[arg-type]
            _refuse_unscoped(element)
    if state.is_orm_statement:
        state.statement = statement.options(  # type: ignore[attr-defined]
            with_loader_criteria(
                Tenanted, lambda cls: cls.tenant_id == tenant_id, include_aliases=True
            )
        )


def assert_owned(objects: Iterable[object], tenant_id: str) -> None:
    """Each tenant-owned object is, and was, this tenant's; a new one becomes it."""
    for obj in objects:
        if isinstance(obj, Tenanted):
            if obj.tenant_id is None:
                obj.tenant_id = tenant_id
            history = inspect(obj).attrs.tenant_id.history
            if {*history.added, *history.unchanged, *history.deleted} - {tenant_id}:
                raise TenancyError(f"a {type(obj).__name__} of another tenant")


def _refuse_unscoped_write(state: ORMExecuteState, statement: UpdateBase) -> None:
    table: Any = statement.table
    if not _tenanted(table):
        return
    if isinstance(statement, Insert) or not _is_entity(table):
        raise TenancyError(f"{type(statement).__name__} on {table.name} is not scoped")
    if isinstance(state.parameters, list):
        raise TenancyError("an UPDATE of many by primary key is not scoped")
    written = [getattr(key, "key", key) for key in getattr(statement, "_values", None) or ()]
    if isinstance(statement, Update) and "tenant_id" in written:
        raise TenancyError("an UPDATE can't move rows to another tenant")


def _is_sqlalchemys_own(state: ORMExecuteState) -> bool:
    """A load of one row by its key, or of a relationship: written with bare columns, but an
    entity's, so the criterion reaches it."""
    if state.is_relationship_load or state.is_column_load:
        return True
    where = getattr(state.statement, "_where_criteria", ())
    mapper = state.bind_mapper
    return mapper is not None and len(where) == 1 and where[0] is mapper._get_clause[0]


def _refuse_unscoped(element: ClauseElement) -> None:
    if isinstance(element, TextClause):
        raise TenancyError("textual SQL can't be scoped")
    if isinstance(element, Select):
        for source in _sources(element):
            if _tenanted(source) and not _is_entity(source):
                raise TenancyError("a bare table is not scoped; select its model")
    if isinstance(element, ColumnClause):
        if element.is_literal and element.name != "*":
            raise TenancyError("textual SQL can't be scoped")
        if _tenanted(element.table) and not _is_entity(element):
            raise TenancyError(f"the bare column {element} is not scoped; select its model's")


def _sources(select: Select[Any]) -> Iterator[FromClause]:
    roots = [*select._raw_columns, *select._from_obj, *(join[0] for join in select._setup_joins)]
    while roots:
        root: Any = roots.pop()
        if isinstance(root, Join):
            roots += [root.left, root.right]
        elif isinstance(root, FromClause):
            yield root


def _tenanted(source: Any) -> bool:
    while isinstance(source, Alias):
        source = source.element
    return source in tenanted_tables


def _is_entity(element: Any) -> bool:
    """Whether SQLAlchemy knows the element as a mapped entity's, and so can scope it."""
    notes = element._annotations
    return "parententity" in notes or "parentmapper" in notes
