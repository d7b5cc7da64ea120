"""The first content of a new document: the one place where a Doc is built from JSON.

What has a history is never built again: to everybody who knows that history, a Doc built
from the same JSON is another one, and merging the two would double it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.parsers import expat

from pycrdt import Doc, Map, XmlElement, XmlFragment, XmlText
from treenail.db import TenantSession
from treenail_workspaces.content import wrapped
from treenail_workspaces.models import Document

from treenail_collab.content import OBJECTS, XML
from treenail_collab.live.interfaces import DocumentKey, Entry
from treenail_collab.service import live

Nodes = list[XmlElement | XmlText]


def seed(session: TenantSession, document: Document, content: Mapping[str, Any]) -> None:
    """Write content as the first row of the log, in the transaction that makes the document."""
    key = DocumentKey(document.tenant_id, document.id)
    entry = Entry(key, build(content), (document.created_by,))
    session.add(live().journal.first_row(entry))
    session.flush()


def build(content: Mapping[str, Any]) -> bytes:
    """The update that makes an empty Doc hold ``objects`` (a map each) and ``xml``."""
    doc: Doc[Any] = Doc()
    objects, fragment = doc.get(OBJECTS, type=Map), doc.get(XML, type=XmlFragment)
    with doc.transaction():
        for name, properties in (content.get("objects") or {}).items():
            objects[name] = Map(properties)
        for node in parse(content.get("xml") or ""):
            fragment.children.append(node)
    return doc.get_update()


def parse(xml: str) -> Nodes:
    """Markup as nodes that no Doc holds yet; comments and instructions are left out.

    Raises `xml.parsers.expat.ExpatError` for what is not well-formed.
    """
    inside: list[Nodes] = []
    open_tags: list[tuple[str, dict[str, str]]] = []

    def enter(tag: str, attributes: dict[str, str]) -> None:
        open_tags.append((tag, attributes))
        inside.append([])

    def leave(_: str) -> None:
        if len(inside) > 1:  # what is around it all stays open: its nodes are the answer
            children = inside.pop()
            inside[-1].append(XmlElement(*open_tags.pop(), children))

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = enter, leave
    parser.CharacterDataHandler = lambda text: inside[-1].append(XmlText(text))
    parser.Parse(wrapped(xml), True)
    return inside[0]
