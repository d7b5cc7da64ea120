"""Purging: the data of a plugin that is switched off, or gone, leaves the database for good.

Its tables are those with its name: nobody but the database needs to know them, so a plugin
whose distribution is not installed any more can be purged too. What lies in others' tables
is told by the hook `leftovers`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import Connection, column, delete, func, inspect, select, table, text

from treenail import migrate
from treenail.contributions import Leftover, Purged
from treenail.migrate import owner
from treenail.plugin import Plugin
from treenail.registry import CORE, PluginError, Registry


class Refused(Exception):
    """Why a plugin can't be purged now; nothing was changed."""


@dataclass(frozen=True)
class OwnTable:
    """A table of the plugin: its rows, and of how many tenants (None: it knows none)."""

    name: str
    rows: int
    tenants: int | None


@dataclass(frozen=True)
class Elsewhere:
    """Rows in somebody else's table that are nothing without the plugin."""

    about: str
    table: str
    rows: int


@dataclass
class Plan:
    """What a purge deletes, tables in the order of their going."""

    plugin: str
    tables: list[OwnTable]
    functions: list[str]
    elsewhere: list[Elsewhere] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    """Tables that could be thought its own but are taken for another plugin's, and whose."""
    notes: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def plan(registry: Registry, name: str) -> Plan:
    """What there is to delete; changes nothing. Raises `Refused`."""
    with _seeing_all(registry) as connection:
        return _plan(connection, registry, name)[0]


def purge(registry: Registry, name: str) -> Plan:
    """Delete it, all in one transaction under the migrators' lock. Raises `Refused`.

    Afterwards the plugin is as if it had never been here: its next upgrade begins anew.
    """
    with _seeing_all(registry) as connection:
        found, leftovers = _plan(connection, registry, name)
        for leftover in leftovers:
            connection.execute(delete(leftover.model).where(leftover.where))
        _drop(connection, [*(own.name for own in found.tables), migrate.VERSION_TABLE + name])
        for function in found.functions:
            connection.execute(text(f"DROP FUNCTION {function}"))
    return found


def left_behind(registry: Registry, name: str) -> int:
    """The rows in a plugin's tables, whether or not it is installed."""
    with _seeing_all(registry) as connection:
        tables = [*_own(connection, _known(connection, registry), name)]
        return sum(_count(connection, found).rows for found in tables)


@contextmanager
def _seeing_all(registry: Registry) -> Iterator[Connection]:
    with owner.transaction(registry.settings) as connection:
        # On PostgreSQL the policy treenail_migration shows the owner every row.
        if connection.dialect.name == "sqlite":
            connection.execute(text("PRAGMA defer_foreign_keys = ON"))  # for circles of tables
        yield connection


def _plan(connection: Connection, registry: Registry, name: str) -> tuple[Plan, list[Leftover]]:
    _refuse_needed(connection, registry, name)
    known = _known(connection, registry)
    tables = _in_order_of_going(connection, [*_own(connection, known, name)])
    found = Plan(
        name,
        [_count(connection, own) for own in tables],
        [*_functions(connection, known, name)],
        kept=_taken_for_others(connection, known, name),
    )
    leftovers = _leftovers(registry, found)
    found.elsewhere = [_elsewhere(connection, leftover) for leftover in leftovers]
    return found, leftovers


def _known(connection: Connection, registry: Registry) -> set[str]:
    """Every plugin that is installed or has left something."""
    prefix = migrate.VERSION_TABLE
    tables = inspect(connection).get_table_names()
    left = {found.removeprefix(prefix) for found in tables if found.startswith(prefix)}
    return {CORE, *registry.installed, *registry.plugins, *left}


def _refuse_needed(connection: Connection, registry: Registry, name: str) -> None:
    known = _known(connection, registry)
    if name not in known:
        raise Refused(f"no plugin {name} is installed, and none has left anything behind")
    if name == CORE:
        raise Refused("everything stands on the core; it can't be purged")
    if name in registry.enabled:
        raise Refused(f"{name} is enabled: take it out of TREENAIL_PLUGINS first")
    for other in registry.enabled:
        if name in _requires(registry, other):
            raise Refused(f"{other} is enabled and requires {name}")
    own = {*_own(connection, known, name)}
    for (_, there), references in inspect(connection).get_multi_foreign_keys().items():
        for reference in references:
            if there not in own and reference["referred_table"] in own:
                whose = migrate.owner_of(there, known)
                first = f": purge {whose} first" if whose and whose != CORE else ""
                raise Refused(f"{there} refers to {reference['referred_table']}{first}")


def _requires(registry: Registry, name: str) -> Sequence[str]:
    try:
        return registry.instance(name).requires
    except Exception:  # noqa: BLE001  enabled but broken, and skipped: it uses nothing now
        return ()


def _own(connection: Connection, known: set[str], name: str) -> Iterator[str]:
    for found in inspect(connection).get_table_names():
        if migrate.owner_of(found, known) == name:
            yield found


def _in_order_of_going(connection: Connection, tables: list[str]) -> list[str]:
    """Whoever refers goes before what is referred to."""
    order = [t for t, _ in inspect(connection).get_sorted_table_and_fkc_names() if t in tables]
    return order[::-1]


def _taken_for_others(connection: Connection, known: set[str], name: str) -> dict[str, str]:
    like_it = [t for t in inspect(connection).get_table_names() if t.startswith(f"{name}_")]
    owners = {found: migrate.owner_of(found, known) for found in like_it}
    return {found: whose for found, whose in owners.items() if whose and whose != name}


def _functions(connection: Connection, known: set[str], name: str) -> Iterator[str]:
    """Functions of its triggers: on PostgreSQL they don't go with the table."""
    if connection.dialect.name != "postgresql":
        return
    query = """SELECT proname, oid::regprocedure::text FROM pg_proc
        WHERE pronamespace = current_schema()::regnamespace AND prokind = 'f'"""
    for function, signature in connection.execute(text(query)):
        if migrate.owner_of(function, known) == name:
            yield signature


def _leftovers(registry: Registry, found: Plan) -> list[Leftover]:
    asked = dict(registry.plugins)
    purged = Purged(found.plugin)
    try:
        if found.plugin not in registry.installed:
            raise PluginError("it is not installed")
        plugin = asked[found.plugin] = registry.instance(found.plugin)
        resource_types = frozenset(kind.name for kind in plugin.resource_types() or ())
        event_types = frozenset(kind.name for kind in plugin.event_types() or ())
        purged = Purged(found.plugin, resource_types, event_types)
    except Exception as error:  # noqa: BLE001  whatever a stranger's code raises
        asked.pop(found.plugin, None)
        found.notes.append(
            f"{found.plugin} can't be asked ({error}): its events, and what others keep about "
            "its resources, stay."
        )
    return [item for plugin in asked.values() for item in _told(plugin, purged)]


def _told(plugin: Plugin, purged: Purged) -> list[Leftover]:
    try:
        return [*(plugin.leftovers(purged) or ())]
    except Exception as error:
        raise Refused(
            f"{plugin.name} can't say what it keeps for {purged.plugin}: {error}"
        ) from error


def _elsewhere(connection: Connection, leftover: Leftover) -> Elsewhere:
    rows = select(func.count()).select_from(leftover.model).where(leftover.where)
    where = leftover.model.__tablename__
    return Elsewhere(leftover.about, where, connection.scalar(rows) or 0)


def _count(connection: Connection, name: str) -> OwnTable:
    source = table(name, column("tenant_id"))
    rows = connection.scalar(select(func.count()).select_from(source)) or 0
    if "tenant_id" not in {found["name"] for found in inspect(connection).get_columns(name)}:
        return OwnTable(name, rows, None)
    tenants = select(func.count(source.c.tenant_id.distinct()))
    return OwnTable(name, rows, connection.scalar(tenants))


def _drop(connection: Connection, tables: list[str]) -> None:
    names = [connection.dialect.identifier_preparer.quote(name) for name in tables]
    # Together where that can be said: they may refer to one another in a circle.
    together = connection.dialect.name == "postgresql"
    for doomed in [", ".join(names)] if together else names:
        connection.execute(text(f"DROP TABLE IF EXISTS {doomed}"))
