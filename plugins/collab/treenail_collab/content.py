"""A document's content as JSON: read from the open room, or from the log."""

from typing import Any

from pycrdt import Doc, Map, XmlFragment
from treenail_workspaces.models import Document

from treenail_collab.live.interfaces import DocumentKey
from treenail_collab.markup import serialize
from treenail_collab.service import live

OBJECTS, XML = "objects", "diagram-xml"


def content(document: Document) -> dict[str, Any]:
    """``objects``, ``xml``, ``version`` and ``updated_at`` of what is committed."""
    key = DocumentKey(document.tenant_id, document.id)
    # The version first: what is read after it can be newer than it says, never older.
    version = live().journal.version(key)
    found = live().hub.read(key, _plain)
    moments = [at for at in (version.at, document.updated_at) if at is not None]
    return {**found, "version": version.seq, "updated_at": max(moments)}


def _plain(doc: Doc[Any]) -> dict[str, Any]:
    objects = doc.get(OBJECTS, type=Map).to_py() or {}
    return {"objects": objects, "xml": serialize(doc.get(XML, type=XmlFragment))}
