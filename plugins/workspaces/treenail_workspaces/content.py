"""The content of documents as JSON: what a template may hold, and the seed of a new document."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any
from xml.parsers import expat

import orjson
from treenail import platform
from treenail.db import TenantSession
from treenail.errors import Conflict, Invalid

from treenail_workspaces.models import Document

MAX_BYTES, MAX_OBJECTS, MAX_ID, MAX_DEPTH = 2**20, 10_000, 200, 100
MAX_INTEGER = 2**53 - 1  # beyond it a JavaScript client reads another number
MAX_THUMBNAIL = 64 * 2**10
MAGIC = {"png": b"\x89PNG\r\n\x1a\n", "jpeg": b"\xff\xd8\xff", "webp": b"RIFF"}
DATA_URL = re.compile(r"data:image/(png|jpeg|webp);base64,([A-Za-z0-9+/]+={0,2})")
DECLARATION = re.compile(r"\s*<\?xml\s[^>]*\?>")


def check(kind: str, content: Mapping[str, Any]) -> None:
    """Raise `Invalid` for what is no content of a document of the kind."""
    name = "objects" if kind == "board" else "xml"
    if content.keys() != {name}:
        raise _bad(f"A {kind} has {name}, and nothing else.")
    if len(orjson.dumps(content)) > MAX_BYTES:
        raise _bad("Longer than 1 MiB.")
    (_check_objects if kind == "board" else _check_markup)(content[name])


def check_thumbnail(url: str) -> None:
    """Raise `Invalid` for anything but a small picture that is what it says."""
    found = DATA_URL.fullmatch(url)
    if len(url) > MAX_THUMBNAIL or found is None:
        raise _bad("Not a data: URL of a PNG, JPEG or WebP of at most 64 KiB.", "thumbnail")
    try:
        picture = base64.b64decode(found[2], validate=True)
    except binascii.Error:
        picture = b""
    if not picture.startswith(MAGIC[found[1]]) or (found[1] == "webp" and picture[8:12] != b"WEBP"):
        raise _bad(f"Not a picture of the type {found[1]}.", "thumbnail")


def seed(session: TenantSession, document: Document, content: Mapping[str, Any]) -> None:
    """Have a new document begin with content; raises `Conflict` where nobody keeps any."""
    if not any(content.values()):
        return
    hook = platform.current().registry.hooks.hook.seed_document
    if not hook(session=session, document=document, content=content):
        raise Conflict(
            "No plugin keeps the content of documents here: this can only begin empty.",
            code="content_unsupported",
        )


def wrapped(xml: str) -> str:
    """A fragment of markup as a document of one element, without its XML declaration.

    Inside an element no document type can stand, so no entities can be declared.
    """
    return f"<fragment>{DECLARATION.sub('', xml, count=1)}</fragment>"


def _check_objects(objects: Any) -> None:
    if not isinstance(objects, dict) or len(objects) > MAX_OBJECTS:
        raise _bad(f"objects maps at most {MAX_OBJECTS} ids to objects.")
    for name, properties in objects.items():
        if not 0 < len(name) <= MAX_ID or not isinstance(properties, dict):
            raise _bad(f"An object has an id of 1 to {MAX_ID} characters, and properties.")
    for number in _integers(objects):
        if abs(number) > MAX_INTEGER:
            raise _bad(f"{number} is no number that every client can hold.")


def _integers(value: Any) -> Iterator[int]:
    if isinstance(value, int):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _integers(inner)


def _check_markup(xml: Any) -> None:
    if not isinstance(xml, str):
        raise _bad("xml is text.")
    depth = 0

    def enter(tag: str, attributes: Mapping[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > MAX_DEPTH:
            raise _bad("Nested too deeply.")

    def leave(tag: str) -> None:
        nonlocal depth
        depth -= 1

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = enter, leave
    try:
        parser.Parse(wrapped(xml), True)
    except expat.ExpatError as error:
        raise _bad(f"Not well-formed: {error}") from None


def _bad(why: str, field: str = "content") -> Invalid:
    return Invalid({field: [why]})
