"""Wall 2: a session bound to a tenant reads and writes that tenant's rows, or refuses.

It fails closed: a statement that can't be given the tenant's criterion is refused, also
where it would have been harmless. SQLAlchemy's ``with_loader_criteria`` alone lets 18 of 52
statement forms through; what it can't reach is refused here.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import (
    FromClause,
    Join,
    Select,
    Subquery,
    TableClause,
    TextClause,
    bindparam,
    inspect,
    select,
)
from sqlalchemy.orm import LoaderCriteriaOption, ORMExecuteState, with_loader_criteria
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.orm.context import FromStatement
from sqlalchemy.sql.dml import Insert, Update, UpdateBase
from sqlalchemy.sql.elements import BinaryExpression, ColumnClause
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.selectable import AliasedReturnsRows, SelectBase

from treenail.db.base import Tenanted, tenanted_tables
from treenail.db.types import uuid_type

HARMLESS = {"*", "1"}
"""Literal columns that SQLAlchemy writes itself, in ``exists`` and ``any``."""

RUNS_TEXT = re.compile(
    r"(set_config|ts_stat|ts_rewrite|dblink\w*|(query|table|cursor|schema|database)_to_xml\w*"
    r"|load_extension|fts3_tokenizer)$",
    re.IGNORECASE,
)
"""Functions of the databases that run SQL given as text, or say whose a transaction is."""
TENANT = "treenail_tenant"
_OPEN = with_loader_criteria(
    Tenanted,
    # The name in full: SQLAlchemy wraps what a lambda takes from around it.
    lambda cls: cls.tenant_id == bindparam("treenail_tenant", type_=uuid_type()),
    include_aliases=True,
)


class TenancyError(Exception):
    """A programming error: something would have left, or could leave, the tenant."""


def scope(state: ORMExecuteState, tenant_id: str) -> None:
    """Refuse what can't be scoped; add the tenant's criterion to what can."""
    statement: Any = state.statement
    if isinstance(statement, UpdateBase):
        _refuse_unscoped_write(state, statement)
    reached = state.is_orm_statement and not isinstance(statement, Insert)
    for root in _strangers(state):
        for element in _elements(root, tenant_id):
            _refuse_unscoped(element)
            if element is not statement and isinstance(element, UpdateBase):
                raise TenancyError("a write inside another statement is not scoped")
            if not reached and _tenanted(getattr(element, "table", element)):
                raise TenancyError("only a select from a model is scoped")
    if not isinstance(state.statement, SelectBase | UpdateBase | FromStatement):
        raise TenancyError(f"a bare {type(statement).__name__} is not scoped; select it")
    if state.is_orm_statement:
        state.statement = statement.options(_criterion(tenant_id))


@lru_cache(maxsize=1024)
def _criterion(tenant_id: str) -> LoaderCriteriaOption:
    """Kept, because making one takes as long as a small SELECT."""
    return with_loader_criteria(
        Tenanted, lambda cls: cls.tenant_id == tenant_id, include_aliases=True
    )


_own_rows: WeakKeyDictionary[Subquery, str] = WeakKeyDictionary()


@lru_cache(maxsize=1024)
def own_rows(model: type[Any], tenant_id: str) -> Subquery:
    """A model's table as it is to a tenant: the criterion is inside, where nothing widens it.

    A statement made of it needs no criterion more, so it is spared the ORM's compiler. The
    databases flatten it: the same indexes are used.
    """
    if not issubclass(model, Tenanted):
        raise TenancyError(f"{model.__name__} is not tenant-owned; select its table")
    table = inspect(model).local_table
    rows = select(table).where(table.c.tenant_id == tenant_id).subquery(f"own_{table.name}")
    _own_rows[rows] = tenant_id
    return rows


def _elements(root: Any, tenant_id: str | None) -> Iterator[Any]:
    """Everything a statement is made of, but the inside of the tenant's own rows."""
    parts = [root]
    while parts:
        part = parts.pop()
        if tenant_id and isinstance(part, Subquery) and _own_rows.get(part) == tenant_id:
            continue
        yield part
        parts += part.get_children()


def scoped(statement: Select[Any]) -> Select[Any]:
    """The select with the criterion of whichever tenant ``TENANT`` is bound to; or refused."""
    orm = statement._propagate_attrs.get("compile_state_plugin") == "orm"
    if not (isinstance(statement, Select) and orm):
        raise TenancyError("only a select from a model is scoped")
    for element in _elements(statement, None):
        _refuse_unscoped(element)
        if isinstance(element, UpdateBase):
            raise TenancyError("a write inside another statement is not scoped")
    return statement.options(_OPEN)


def assert_owned(objects: Iterable[object], tenant_id: str) -> None:
    """Each tenant-owned object is, and was, this tenant's; a new one becomes it."""
    owned: Any
    for owned in objects:
        if isinstance(owned, Tenanted):
            owned.tenant_id = owned.tenant_id or tenant_id
            history = inspect(owned).attrs.tenant_id.history
            if {*history.added, *history.unchanged, *history.deleted} - {tenant_id}:
                raise TenancyError(f"a {type(owned).__name__} of another tenant")


def take(made: object, tenant_id: str) -> None:
    """Make a new object the tenant's, unless it is another's already."""
    if isinstance(made, Tenanted):
        if made.tenant_id not in (None, tenant_id):
            raise TenancyError(f"a {type(made).__name__} of another tenant")
        set_committed_value(made, "tenant_id", tenant_id)


def refuse_foreign(obj: object, tenant_id: str) -> None:
    """An object that another session loaded comes in only if it is this tenant's."""
    known = obj.__dict__.get("tenant_id")
    loaded = inspect(obj).has_identity
    if isinstance(obj, Tenanted) and known != tenant_id and (loaded or known is not None):
        raise TenancyError(f"a {type(obj).__name__} of another tenant")


def _refuse_unscoped_write(state: ORMExecuteState, statement: UpdateBase) -> None:
    table: Any = statement.table
    if any(getattr(source, "fullname", "") != table.fullname for source in _joined(statement)):
        raise TenancyError("an UPDATE or DELETE over a second model is not scoped; use a subquery")
    if not _tenanted(table):
        return
    if isinstance(statement, Insert) or not _is_entity(table):
        raise TenancyError(f"{type(statement).__name__} on {table.name} is not scoped")
    if isinstance(state.parameters, list):
        raise TenancyError("an UPDATE of many by primary key is not scoped")
    if state.execution_options.get("dml_strategy", "auto") not in ("auto", "orm"):
        raise TenancyError("only the ORM's own UPDATE and DELETE are scoped")
    if isinstance(statement, Update) and "tenant_id" in _written(state, statement):
        raise TenancyError("an UPDATE can't move rows to another tenant")


def _written(state: ORMExecuteState, statement: Update) -> set[str]:
    """The columns an UPDATE sets, whichever way it was told."""
    ordered = [key for key, _ in getattr(statement, "_ordered_values", None) or ()]
    keys: list[Any] = [*(statement._values or ()), *(state.parameters or ()), *ordered]
    return {getattr(key, "key", key) for key in keys}


def _joined(statement: UpdateBase) -> Iterator[Any]:
    """The tenant-owned tables a write names outside any subquery (those are scoped)."""
    parts: list[Any] = [*statement.get_children()]
    while parts:
        part = parts.pop()
        if isinstance(part, ColumnClause) and _tenanted(part.table):
            yield part.table
        elif not isinstance(part, SelectBase):
            parts += part.get_children()


def _strangers(state: ORMExecuteState) -> Iterable[Any]:
    """The parts of a statement that SQLAlchemy did not write itself.

    Loads of relationships, of expired columns, of one row by its key, and of the keys that a
    bulk write will touch are written with bare columns, but are an entity's: the criterion
    reaches them.
    """
    statement: Any = state.statement
    mapper: Any = state.bind_mapper
    where: Any = getattr(statement, "_where_criteria", ())
    if state.is_relationship_load or state.is_column_load:
        return ()
    if mapper is not None and len(where) == 1 and where[0] is mapper._get_clause[0]:
        return ()
    if mapper is not None:
        keys = [*mapper.primary_key, mapper.select_identity_token]
        columns = getattr(statement, "_raw_columns", ())
        if [id(column) for column in columns] == [id(key) for key in keys]:
            return tuple(where)
    return (statement,)


def _refuse_unscoped(element: Any) -> None:
    if isinstance(element, TextClause):
        raise TenancyError("textual SQL can't be scoped")
    if isinstance(element, Select):
        if element._prefixes or element._suffixes or element._statement_hints or element._hints:
            raise TenancyError("textual SQL can't be scoped")
        for source in _sources(element):
            if _tenanted(source) and not _is_entity(source):
                raise TenancyError("a bare table is not scoped; select its model")
    if isinstance(element, FunctionElement) and RUNS_TEXT.match(getattr(element, "name", "")):
        raise TenancyError(f"the function {element.name} can't be scoped")
    if isinstance(element, BinaryExpression) and "(" in getattr(element.operator, "opstring", ""):
        raise TenancyError("textual SQL can't be scoped")
    if isinstance(element, ColumnClause):
        if element.is_literal and element.name not in HARMLESS:
            raise TenancyError("textual SQL can't be scoped")
        if _tenanted(element.table) and not _is_entity(element):
            raise TenancyError(f"the bare column {element} is not scoped; select its model's")


def _sources(select: Any) -> Iterator[FromClause]:
    roots: list[Any] = [
        *select._raw_columns,
        *select._from_obj,
        *(join[0] for join in select._setup_joins),
    ]
    while roots:
        root = roots.pop()
        if isinstance(root, Join):
            roots += [root.left, root.right]
        elif isinstance(root, FromClause):
            yield root


def _tenanted(source: Any) -> bool:
    while isinstance(source, AliasedReturnsRows):
        source = source.element
    return isinstance(source, TableClause) and source.name in tenanted_tables


def _is_entity(element: Any) -> bool:
    """Whether SQLAlchemy knows the element as a mapped entity's, and so can scope it."""
    notes = element._annotations
    return "parententity" in notes or "parentmapper" in notes
