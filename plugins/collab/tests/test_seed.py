"""Documents that begin with a template's content."""

from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycrdt import Doc, Map, XmlFragment
from sqlalchemy import func, select
from treenail.db import system_session
from treenail_collab.live.interfaces import DocumentKey
from treenail_collab.markup import serialize
from treenail_collab.models import Update
from treenail_collab.seed import build
from treenail_collab.service import live

BOARD = {"objects": {"a": {"x": 1, "label": "Ridge 🪵", "tags": ["oak", {"b": None}]}, "b": {}}}
DIAGRAM = {
    "xml": '<mxGraphModel dx="1"><root><mxCell id="0" value="a&#10;b"/></root></mxGraphModel>'
}


@pytest.fixture
def begin(tenant):
    """Make a document from a template with this content; returns the answer."""

    def make(kind, content, by=tenant.owner):
        workspace = tenant.owner.post("/workspaces", {"name": "Joinery"}).json["id"]
        body = {"name": "x", "kind": kind, "content": content}
        template = tenant.owner.post(f"/workspaces/{workspace}/templates", body).json["id"]
        body = {"title": "Roof", "kind": kind, "templateId": template}
        return by.post(f"/workspaces/{workspace}/documents", body)

    return make


def test_a_board_begins_with_its_templates_objects(tenant, begin):
    made = begin("board", BOARD)
    assert made.status == 201
    content = tenant.owner.get(f"/documents/{made.json['id']}/content").json
    assert (content["objects"], content["xml"], content["version"]) == (BOARD["objects"], "", 1)


def test_a_diagram_begins_with_its_templates_markup(tenant, begin):
    made = begin("diagram", DIAGRAM).json["id"]
    content = tenant.owner.get(f"/documents/{made}/content").json
    assert content["xml"].replace("></mxCell>", "/>") == DIAGRAM["xml"]
    assert content["objects"] == {}


def rename(doc):
    doc.get("objects", type=Map)["a"]["x"] = 2


def test_what_a_document_began_with_is_edited_on(app, tenant, begin):
    made = begin("board", BOARD).json["id"]
    with app.app_context():
        hub, key = live().hub, DocumentKey(tenant.id, made)
        hub.edit(key, rename, tenant.owner.user_id)
    content = tenant.owner.get(f"/documents/{made}/content").json
    assert content["objects"] == {**BOARD["objects"], "a": {**BOARD["objects"]["a"], "x": 2}}
    assert content["version"] == 2


def test_the_first_row_is_its_makers(app, tenant, begin):
    made = begin("board", BOARD).json["id"]
    with app.app_context(), system_session("test", read_only=True) as session:
        row = session.scalars(select(Update).where(Update.document_id == made)).one()
    assert (row.seq, row.user_ids) == (1, [tenant.owner.user_id])
    assert b"Ridge" not in row.data_sealed


def rows(app):
    with app.app_context(), system_session("test", read_only=True) as session:
        return session.scalar(select(func.count()).select_from(Update))


def test_a_template_without_content_leaves_no_row(app, begin):
    before = rows(app)
    assert begin("board", {"objects": {}}).status == 201
    assert begin("diagram", {"xml": ""}).status == 201
    assert rows(app) == before


def test_of_a_document_that_is_refused_nothing_stays(app, begin, monkeypatch):
    before = rows(app)

    def fail(*arguments):
        raise RuntimeError("later in the same transaction")

    monkeypatch.setattr("treenail_workspaces.services._tell_document", fail)
    assert begin("board", BOARD).status == 500
    assert rows(app) == before


def test_two_documents_of_one_template_are_apart(tenant, begin):
    first, second = (begin("board", BOARD).json["id"] for _ in range(2))
    tenant.owner.delete(f"/documents/{first}")
    assert tenant.owner.get(f"/documents/{second}/content").json["objects"] == BOARD["objects"]


SCALARS = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text()
SCALARS |= st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(SCALARS, lambda v: st.lists(v) | st.dictionaries(st.text(), v), max_leaves=5)
OBJECTS = st.dictionaries(st.text(min_size=1), st.dictionaries(st.text(), VALUES), max_size=4)


@given(OBJECTS)
def test_any_objects_come_out_as_they_went_in(objects):
    doc = Doc()
    doc.apply_update(build({"objects": objects}))
    assert doc.get("objects", type=Map).to_py() == objects
    assert all(isinstance(made, Map) for made in doc.get("objects", type=Map).values())


TEXT = st.text(st.characters(min_codepoint=32, codec="utf-8", exclude_characters="\ufffe\uffff"))
WHITE = st.text(st.sampled_from(" \t\n\r<&>\"'a"))
NAMES = st.from_regex(r"[A-Za-z_][\w.-]{0,5}", fullmatch=True).filter(str.isascii)
NODES = st.recursive(
    (TEXT | WHITE).filter(bool),
    lambda inner: st.tuples(
        NAMES, st.dictionaries(NAMES, TEXT | WHITE, max_size=2), st.lists(inner, max_size=3)
    ),
    max_leaves=6,
)


def written(node):
    """Markup in another hand: attributes as they come, single tags, other quotes."""
    if isinstance(node, str):
        return "".join(f"&#{ord(c)};" if c in "<&>\r" else c for c in node)
    tag, attributes, children = node
    escapes = {c: f"&#{ord(c)};" for c in "\t\n\r"}
    pairs = "".join(f" {k}={quoteattr(v, escapes)}" for k, v in attributes.items())
    return f"<{tag}{pairs}>{''.join(map(written, children))}</{tag}>"


@given(st.lists(NODES, max_size=3))
def test_any_markup_comes_out_the_same_however_often(nodes):
    def through(xml):
        doc = Doc()
        doc.apply_update(build({"xml": xml}))
        return serialize(doc.get("diagram-xml", type=XmlFragment))

    once = through("".join(map(written, nodes)))
    assert through(once) == once
    texts = [node for node in nodes if isinstance(node, str)]
    if len(texts) == len(nodes):
        assert once == "".join(map(serialized, texts))


def serialized(text):
    for character, entity in {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}.items():
        text = text.replace(character, entity)
    return text
