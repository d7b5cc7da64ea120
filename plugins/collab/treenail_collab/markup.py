"""A shared XML fragment as text: well-formed, attributes in order, so that equal is equal.

As ``Y.XmlFragment.toString()`` of Yjs writes it, but escaped, and with the names' own case.
"""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape

from pycrdt import XmlElement, XmlFragment, XmlText

# A parser makes a space of white space in an attribute, and a newline of a carriage return.
QUOTE = {'"': "&quot;", "\n": "&#10;", "\t": "&#9;", "\r": "&#13;"}
RETURN = {"\r": "&#13;"}


def serialize(node: XmlFragment | XmlElement | XmlText) -> str:
    """The markup of a node and all in it."""
    if isinstance(node, XmlText):
        return "".join(_formatted(text, formats or {}) for text, formats in node.diff())
    inner = "".join(serialize(child) for child in node.children)
    if not isinstance(node, XmlElement):
        return inner
    attributes: Any = node.attributes
    return f"<{node.tag}{_attributes(dict(attributes))}>{inner}</{node.tag}>"


def _formatted(text: Any, formats: dict[str, Any]) -> str:
    """A run of text inside one element per format, in the order of their names."""
    marked = escape(str(text), RETURN)
    for name in sorted(formats, reverse=True):
        value = formats[name]
        attributes = _attributes(value) if isinstance(value, dict) else ""
        marked = f"<{name}{attributes}>{marked}</{name}>"
    return marked


def _attributes(values: dict[str, Any]) -> str:
    return "".join(f' {name}="{escape(str(values[name]), QUOTE)}"' for name in sorted(values))
