"""Plans: statements that are compiled once and then run on the driver's own cursor.

For what every request asks. Through a session such a query takes 300 µs, of which the
database needs 10: the rest is spent on building the statement, finding its compiled form and
making objects. A plan gives plain rows with the columns as attributes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import BindParameter, Dialect, Engine, Select
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.util import LRUCache

T = TypeVar("T")
Build = Callable[[], Any]
Convert = Callable[[Any], Any]
Call = Callable[[], Any]
Watch = Callable[[str, Any], None]
_compiled: Any = LRUCache(500)  # by structure, as the engines' own; shared by equal statements
_shapes: "WeakKeyDictionary[SQLCompiler, _Shape]" = WeakKeyDictionary()


class Row:
    """What a plan found: its columns as attributes, to which a service may add."""

    def __init__(self, cells: dict[str, Any]) -> None:
        self.__dict__ = cells

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the plan selects no {name}")


def padded(values: Iterable[T]) -> list[T | str]:
    """A list for an open parameter, its last item repeated: a plan keeps a text per length."""
    found: list[T | str] = [*values] or [""]
    return found + found[-1:] * ((1 << (len(found) - 1).bit_length()) - len(found))


class Runs(Protocol):
    """Whoever can run a plan: a session, or the reading side by itself."""

    def rows(self, plan: "Plan", **values: Any) -> list[Row]:
        """What the plan finds, given every one of its open parameters."""


class Plan:
    """A select (or, for the system, a change), built when it is first needed.

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


class _Ready:
    """A statement's shape with the constants that are its own."""

    def __init__(self, shape: "_Shape", constants: dict[str, Any], calls: Mapping[str, Call]):
        self.shape = shape
        self.constants = constants
        self.calls = calls
        self.texts: dict[tuple[int, ...], _Text] = {}

    def run(self, cursor: Any, values: dict[str, Any], watch: Watch | None) -> list[Row]:
        """The rows; ``values`` are those of the open parameters."""
        self.change(cursor, values, watch)
        return [self.shape.row(found) for found in cursor.fetchall()]

    def change(self, cursor: Any, values: dict[str, Any], watch: Watch | None) -> int:
        """How many rows an update or a delete has met."""
        for name, call in self.calls.items():
            values[name] = call()
        lengths = tuple([len(values[name]) for name in self.shape.lists if name in values])
        text = self.texts.get(lengths)
        if text is None:
            text = self.texts[lengths] = _Text(self.shape.compiled, self.constants, values)
        parameters = text.parameters(values)
        if watch:
            watch(text.sql, parameters)
        cursor.execute(text.sql, parameters)
        return int(cursor.rowcount)


class _Shape:
    """A compiled statement: which of its parameters are lists, what its columns become."""

    def __init__(self, compiled: SQLCompiler) -> None:
        self.compiled = compiled
        binds = compiled.bind_names.items()
        self.lists = sorted({name for bind, name in binds if bind.expanding})
        self.names: list[str] = []
        self.converts: list[tuple[str, Convert]] = []
        columns: Any = compiled._result_columns
        for column in columns:
            name = getattr(column.objects[0], "key", None) or column.keyname
            self.names.append(name)
            if convert := column.type._cached_result_processor(compiled.dialect, None):
                self.converts.append((name, convert))

    def row(self, found: Sequence[Any]) -> Row:
        """One row of the driver's."""
        cells = dict(zip(self.names, found))  # noqa: B905  as many as were selected
        for name, convert in self.converts:
            cells[name] = convert(cells[name])
        return Row(cells)


class _Text:
    """SQL as the driver takes it, for lists of some lengths; constants in their places.

    Each open slot says which value goes there, which of a list's, and converted how.
    """

    def __init__(
        self, compiled: SQLCompiler, constants: dict[str, Any], values: dict[str, Any]
    ) -> None:
        state: Any = compiled._process_parameters_for_postcompile({**constants, **values})
        items = {
            item: (name, place)
            for name, expanded in state.parameter_expansion.items()
            for place, item in enumerate(expanded)
        }
        converters: Any = compiled._bind_processors
        self.sql: str = state.statement
        order = state.positiontup
        slots = enumerate(order) if order else ((name, name) for name in state.parameters)
        self.template: Any = [None] * len(order) if order else {}
        self.open: list[tuple[Any, str, int | None, Convert]] = []
        for slot, bind in slots:
            name, place = items.get(bind, (bind, None))
            convert = converters.get(name) or _as_it_is
            if name in values:
                self.open.append((slot, name, place, convert))
            else:
                self.template[slot] = convert(_at(constants[name], place))

    def parameters(self, values: Mapping[str, Any]) -> Any:
        """The driver's parameters for these values."""
        filled = self.template.copy()
        for slot, name, place, convert in self.open:
            value = values[name]
            filled[slot] = convert(value if place is None else value[place])
        return filled


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


def watch_of(engine: Engine, cursor: Any) -> Watch | None:
    """Who watches the engine's statements, and is to see those that pass it by as well."""
    if not engine._has_events:
        return None

    def tell(sql: str, parameters: Any) -> None:
        for listener in engine.dispatch.before_cursor_execute:
            listener(None, cursor, sql, parameters, None, False)

    return tell


def _at(value: Any, place: int | None) -> Any:
    return value if place is None else value[place]


def _as_it_is(value: Any) -> Any:
    return value
