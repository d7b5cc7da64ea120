"""Writes ``docs/reference.md`` from the code; ``--check`` only says whether it is stale."""

from __future__ import annotations

import dataclasses
import inspect
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
from treenail.app import create_app
from treenail.cli import cli
from treenail.hookspecs import PluginSpec
from treenail.platform import Platform
from treenail.settings import CoreSettings, Section
from treenail.web.openapi import declared

TARGET = Path(__file__).parent / "reference.md"
HEAD = """# Reference

Made from the code by `python docs/generate.py`; a test fails when it is stale.
"""


def main() -> None:
    """Write, or check."""
    text = reference()
    if "--check" in sys.argv:
        sys.exit(0 if TARGET.read_text() == text else "docs/reference.md is stale")
    TARGET.write_text(text)


def reference() -> str:
    """The whole page."""
    with tempfile.TemporaryDirectory() as data:
        app = create_app({"TREENAIL_DATA": data}, check_database=False)
    platform: Platform = app.extensions["treenail"]
    routes = [
        (f"`{method} {rule.rule}`", f"`{view.access.permission or view.access.kind}`", about(view))
        for rule, view in sorted(declared(app), key=lambda pair: pair[0].rule)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    ]
    sections = [
        HEAD,
        table("Settings", ("setting", "default", "what it is for"), settings(platform)),
        table("Addresses", ("address", "access", ""), routes),
        table("Permissions", ("permission", "on", "roles that hold it"), permissions(platform)),
        table("Events", ("event", "version", ""), events(platform)),
        table("Hooks", ("hook", "", ""), hooks(platform)),
        table("Commands", ("command", ""), commands(cli, "treenail")),
    ]
    return "\n".join(sections)


def table(title: str, head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A chapter with one table."""
    lines = [f"## {title}", "", *(f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head)))]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows), ""])


def about(thing: Any) -> str:
    """The first line of a docstring."""
    return (inspect.getdoc(thing) or getattr(thing, "__doc__", "") or "").partition("\n")[0]


def settings(platform: Platform) -> Iterator[tuple[str, ...]]:
    """Every key of the core and of each plugin."""
    yield from section(CoreSettings, "TREENAIL_")
    for name, plugin in platform.registry.plugins.items():
        yield from section(plugin.settings_class, f"TREENAIL_{name.upper()}_")


def section(kind: type[Section], prefix: str) -> Iterator[tuple[str, ...]]:
    """The keys of one section."""
    for found in dataclasses.fields(kind):
        default = "" if found.default in ("", None, ()) else f"`{found.default}`"
        yield f"`{prefix}{found.name.upper()}`", default, found.metadata["doc"]


def permissions(platform: Platform) -> Iterator[tuple[str, ...]]:
    """Every permission, and who holds it on its own type."""
    for kind in platform.resource_types.values():
        for name in sorted(kind.permissions):
            created = name == f"{kind.name}:create"
            holders = {role for role, held in kind.roles.items() if name in held}
            roles = kind.creators if created else holders
            on = kind.parent.type if created and kind.parent else kind.name
            yield f"`{name}`", on, ", ".join(sorted(roles))


def events(platform: Platform) -> Iterator[tuple[str, ...]]:
    """Every event that leaves the house."""
    for name, kind in sorted(platform.event_types.items()):
        if not kind.internal:
            yield f"`{name}`", str(kind.version), kind.description


def hooks(platform: Platform) -> Iterator[tuple[str, ...]]:
    """Every hook, whosever it is."""
    specs: list[tuple[str, type]] = [("core", PluginSpec)]
    specs += [(p.name, p.hookspecs) for p in platform.registry.plugins.values() if p.hookspecs]
    for owner, spec in specs:
        for name, method in inspect.getmembers(spec, inspect.isfunction):
            if not name.startswith("_") and hasattr(method, "treenail_spec"):
                parameters = ", ".join(list(inspect.signature(method).parameters)[1:])
                yield f"`{name}({parameters})`", owner, about(method)


def commands(group: click.Group, path: str) -> Iterator[tuple[str, ...]]:
    """Every command, depth first."""
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"`{path} {name}`", (command.help or "").partition("\n")[0]


if __name__ == "__main__":
    main()
