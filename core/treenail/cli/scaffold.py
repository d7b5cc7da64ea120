"""A new plugin: a folder with every room furnished, written from the files in ``blank``."""

import keyword
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from treenail import registry
from treenail.testing.injected import Injected

BLANK = Path(__file__).parent / "blank"
SUFFIX = ".jinja"
NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
LONGEST = 20
"""Names of constraints are made of it twice, and PostgreSQL cuts them off at 63 bytes."""


class BadName(Exception):
    """Why a plugin, or what it keeps, can't be called so."""


def write(name: str, thing: str | None, parent: Path) -> Path:
    """Write plugin ``name``, which keeps things called ``thing``, into a new folder.

    Returns the folder, ``<parent>/<name>``. Raises `BadName`, and `FileExistsError` when
    there is something at its place; then nothing was written.
    """
    _check_name(name)
    words = _words(name, thing or _singular(name))
    folder = parent / name
    folder.mkdir(parents=True)
    environment = Environment(
        loader=FileSystemLoader(BLANK),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  Python, not HTML
    )
    for source, target in _files(name):
        path = folder / target
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(environment.get_template(source).render(words))
    return folder


def _files(name: str) -> Iterator[tuple[str, str]]:
    for path in sorted(BLANK.rglob(f"*{SUFFIX}")):
        source = path.relative_to(BLANK).as_posix()
        target = source.removesuffix(SUFFIX).replace("package/", f"{name}/", 1)
        yield source, target.replace("name", name) if "name" in path.name else target


def _check_name(name: str) -> None:
    _check_word(name)
    taken = {registry.CORE, Injected.name, *registry.FIRST_PARTY, *registry.discover()}
    if name in taken:
        raise BadName(f"there is a plugin {name}")
    if find_spec(name) is not None:
        raise BadName(f"{name} is the name of a Python module that is here already")


def _check_word(word: str) -> None:
    if not NAME.fullmatch(word) or len(word) > LONGEST or keyword.iskeyword(word):
        raise BadName(
            f"{word!r} won't do: at most {LONGEST} lower-case letters, digits and single "
            "underscores, a letter first"
        )


def _singular(name: str) -> str:
    return name.removesuffix("s") if name.endswith("s") and not name.endswith("ss") else name


def _words(name: str, thing: str) -> dict[str, str]:
    _check_word(thing)
    things = f"{thing}es" if thing.endswith(("s", "x", "ch", "sh")) else f"{thing}s"
    return {
        "name": name,
        "Name": _class_name(name),
        "distribution": name.replace("_", "-"),
        "thing": thing,
        "Thing": _class_name(thing),
        "Things": things.replace("_", " ").capitalize(),
        "path": things.replace("_", "-"),
        "table": f"{name}_{things}",
    }


def _class_name(word: str) -> str:
    return "".join(part.capitalize() for part in word.split("_"))
