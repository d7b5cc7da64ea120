"""Plans: selects that are compiled once and then run on the driver's own cursor.

For what every request asks. Through a session such a query takes 300 µs, of which the
database needs 10: the rest is spent on building the statement, finding its compiled form and
making objects. A plan gives plain rows with the columns as attributes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from sqlalchemy import BindParameter, Dialect, Select
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.util import LRUCache

Build = Callable[[], Any]
Convert = Callable[[Any], Any]
Watch = Callable[[str, Any], None]
_compiled: Any = LRUCache(500)  # by structure, as the engines' own; shared by equal statements
_shapes: "WeakKeyDictionary[SQLCompiler, _Shape]" = WeakKeyDictionary()


class Row(SimpleNamespace):
    """What a plan found: its columns as attributes."""


class Runs(Protocol):
    """Whoever can run a plan: a session, or the reading side by itself."""

    def rows(self, plan: "Plan", **values: Any) -> list[Row]:
        """What the plan finds, given its open parameters."""


class Plan:
    """A select, built when it is first needed.

    Its open parameters are ``bindparam("name")``, lists ``bindparam("name", expanding=True)``;
    what is called anew each time (the present moment) is a ``bindparam`` with ``callable_``.
    Who runs it decides what it sees: in a tenant's session it is scoped as every statement
    there is. Keep it for as long as what ``build`` closes over stays the same::

        TITLES = Plan(lambda: select(Document.title).where(Document.id == bindparam("id")))
        session().rows(TITLES, id=document_id)
    """

    def __init__(self, build: Build) -> None:
        self._build = build
        self._ready: dict[Any, _Ready] = {}

    def ready(self, dialect: Dialect, scope: Callable[[Select[Any]], Select[Any]]) -> "_Ready":
        """The plan for a dialect, after ``scope`` has seen to it."""
        known = self._ready.get((dialect.name, scope))
        if known is None:
            known = self._ready[dialect.name, scope] = _prepare(scope(self._build()), dialect)
        return known


@dataclass(frozen=True)
class _Ready:
    """A statement's shape, and the constants that are its own."""

    shape: "_Shape"
    constants: Mapping[str, Any]
    calls: Mapping[str, Callable[[], Any]]

    def run(self, cursor: Any, values: Mapping[str, Any], watch: Watch | None) -> list[Row]:
        called = {name: call() for name, call in self.calls.items()}
        return self.shape.run(cursor, {**self.constants, **called, **values}, watch)


class _Shape:
    """A compiled statement, with a text for each length of its lists."""

    def __init__(self, compiled: SQLCompiler) -> None:
        self.compiled = compiled
        binds = compiled.bind_names.items()
        self.lists = sorted({name for bind, name in binds if bind.expanding})
        self.texts: dict[tuple[int, ...], _Text] = {}
        self.names: list[str] = []
        self.converts: list[tuple[int, Convert]] = []
        columns: Any = compiled._result_columns
        for place, column in enumerate(columns):
            self.names.append(getattr(column.objects[0], "key", None) or column.keyname)
            if convert := column.type._cached_result_processor(compiled.dialect, None):
                self.converts.append((place, convert))

    def run(self, cursor: Any, values: Mapping[str, Any], watch: Watch | None) -> list[Row]:
        lengths = tuple([len(values[name]) for name in self.lists])
        text = self.texts.get(lengths)
        if text is None:
            text = self.texts[lengths] = _Text.of(self.compiled, values)
        parameters = text.parameters(values)
        if watch:
            watch(text.sql, parameters)
        cursor.execute(text.sql, parameters)
        return [self._row(found) for found in cursor.fetchall()]

    def _row(self, found: Sequence[Any]) -> Row:
        cells = list(found)
        for place, convert in self.converts:
            cells[place] = convert(cells[place])
        return Row(**dict(zip(self.names, cells, strict=True)))


@dataclass(frozen=True)
class _Text:
    """SQL as the driver takes it; each slot says which value goes there, and converted how."""

    sql: str
    positional: bool
    slots: list[tuple[str, str, int | None, Convert]] = field(default_factory=list)

    @classmethod
    def of(cls, compiled: SQLCompiler, values: Mapping[str, Any]) -> "_Text":
        state: Any = compiled._process_parameters_for_postcompile(dict(values))
        items = {
            item: (name, place)
            for name, expanded in state.parameter_expansion.items()
            for place, item in enumerate(expanded)
        }
        converters: Any = compiled._bind_processors
        text = cls(state.statement, state.positiontup is not None)
        for slot in state.positiontup or state.parameters:
            name, place = items.get(slot, (slot, None))
            text.slots.append((slot, name, place, converters.get(name) or _as_it_is))
        return text

    def parameters(self, values: Mapping[str, Any]) -> Any:
        if self.positional:
            return [convert(_at(values[name], place)) for _, name, place, convert in self.slots]
        return {slot: convert(_at(values[name], at)) for slot, name, at, convert in self.slots}


def _prepare(statement: Any, dialect: Dialect) -> _Ready:
    compiled, found, *_ = statement._compile_w_cache(
        dialect=dialect,
        compiled_cache=_compiled,
        column_keys=[],
        for_executemany=False,
        schema_translate_map=None,
    )
    if compiled.literal_execute_params:
        raise ValueError("a plan's values are never part of its text")
    shape = _shapes.get(compiled) or _shapes.setdefault(compiled, _Shape(compiled))
    constants = compiled.construct_params(extracted_parameters=found, _check=False)
    own: dict[BindParameter[Any], BindParameter[Any]] = dict(
        zip(compiled.cache_key.bindparams if found else (), found or (), strict=True)
    )
    named = compiled.bind_names.items()
    calls = {name: call for bind, name in named if (call := own.get(bind, bind).callable)}
    return _Ready(shape, constants, calls)


def _at(value: Any, place: int | None) -> Any:
    return value if place is None else value[place]


def _as_it_is(value: Any) -> Any:
    return value
