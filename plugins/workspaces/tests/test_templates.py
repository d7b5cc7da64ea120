"""Templates: kept in a workspace, refused by field, and of no use without an editor plugin."""

import base64

import pytest
from sqlalchemy import text
from treenail.db import system_session

BOARD = {"objects": {"a": {"x": 1, "label": "Ridge", "tags": ["oak", None]}}}
DIAGRAM = {"xml": '<?xml version="1.0"?><mxGraphModel><root/></mxGraphModel> and <b>more</b>'}
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"0" * 40).decode()
WEBP = base64.b64encode(b"RIFF0000WEBP").decode()


def url(data=PNG, kind="png"):
    return f"data:image/{kind};base64,{data}"


def board(**more):
    return {"name": "Kanban", "kind": "board", "content": BOARD, **more}


@pytest.fixture
def path(workspace):
    return f"/workspaces/{workspace}/templates"


def test_a_template_is_kept_listed_shown_and_removed(tenant, path, captured_events):
    made = tenant.owner.post(path, board(thumbnail=url()))
    assert (made.status, made.json["content"], made.json["thumbnail"]) == (201, BOARD, url())
    listed = dict(made.json)
    del listed["content"]
    assert tenant.owner.get(path).json["items"] == [listed]
    one = f"{path}/{made.json['id']}"
    assert tenant.owner.get(one).json == made.json
    assert tenant.owner.delete(one).status == 204
    assert tenant.owner.get(one).status == 404
    for event in ("template.created", "template.deleted"):
        assert [e.data["name"] for e in captured_events(event)] == ["Kanban"]


def test_a_diagrams_template_holds_markup(tenant, path):
    body = {"name": "Plan", "kind": "diagram", "content": DIAGRAM}
    made = tenant.owner.post(path, body)
    assert (made.json["content"], made.json["thumbnail"]) == (DIAGRAM, None)


def test_what_a_template_holds_is_sealed(app, tenant, path):
    tenant.owner.post(path, board(thumbnail=url()))
    with app.app_context(), system_session("test", read_only=True) as session:
        rows = session.execute(text("SELECT * FROM workspaces_templates")).all()
    assert rows
    assert "Ridge" not in repr([[bytes(v) if v else v for v in map(_plain, row)] for row in rows])


def _plain(value):
    return value if isinstance(value, bytes) else str(value).encode()


def nested(depth):
    return {"xml": "<a>" * depth + "</a>" * depth}


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("board", {}),
        ("board", {"xml": ""}),
        ("board", {"objects": {}, "xml": ""}),
        ("board", {"objects": []}),
        ("board", {"objects": {"a": 1}}),
        ("board", {"objects": {"": {}}}),
        ("board", {"objects": {"x" * 201: {}}}),
        ("board", {"objects": {"a": {"x": 2**53}}}),
        ("board", {"objects": {"a": {"x": [{"y": -(2**63)}]}}}),
        ("board", {"objects": {"a": {"x": "y" * 2**20}}}),
        ("board", {"objects": {str(n): {} for n in range(10_001)}}),
        ("diagram", {"objects": {}}),
        ("diagram", {"xml": 7}),
        ("diagram", {"xml": "<a>"}),
        ("diagram", {"xml": "</fragment><fragment>"}),
        ("diagram", {"xml": "<a b=c/>"}),
        ("diagram", {"xml": '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'}),
        ("diagram", {"xml": "<a>&b;</a>"}),
        ("diagram", {"xml": "a\x01"}),
        ("diagram", nested(101)),
    ],
)
def test_content_of_another_shape_is_refused(tenant, path, kind, content):
    answer = tenant.owner.post(path, {"name": "x", "kind": kind, "content": content})
    assert (answer.status, list(answer.json["errors"])) == (422, ["content"])
    assert tenant.owner.get(path).json["items"] == []


def test_the_largest_content_is_kept(tenant, path):
    for kind, content in (
        ("diagram", nested(99)),
        ("board", {"objects": {"a": {"x": 2**53 - 1, "y": "z" * (2**20 - 60)}}}),
        ("board", {"objects": {}}),
        ("diagram", {"xml": ""}),
    ):
        answer = tenant.owner.post(path, {"name": "x", "kind": kind, "content": content})
        assert (answer.status, answer.json["content"]) == (201, content)


@pytest.mark.parametrize(
    ("thumbnail", "status"),
    [
        (None, 201),
        (url(), 201),
        (url(base64.b64encode(b"\xff\xd8\xff\xe0").decode(), "jpeg"), 201),
        (url(WEBP, "webp"), 201),
        (url(kind="jpeg"), 422),
        (url(WEBP, "png"), 422),
        (url("PHN2Zz4=", "svg+xml"), 422),
        (url("*"), 422),
        (url("A"), 422),
        (url(base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"0" * 2**16).decode()), 422),
        ("https://example.com/a.png", 422),
        (7, 422),
    ],
)
def test_a_thumbnail_is_a_small_picture_in_a_data_url(tenant, path, thumbnail, status):
    answer = tenant.owner.post(path, board(thumbnail=thumbnail))
    assert answer.status == status
    assert status == 201 or list(answer.json["errors"]) == ["thumbnail"]


ROLES = [
    # role in the workspace: list, make, show, remove another's
    (None, (404, 404, 404, 404)),
    ("viewer", (200, 403, 200, 403)),
    ("editor", (200, 201, 200, 403)),
    ("admin", (200, 201, 200, 204)),
]


@pytest.mark.parametrize(("role", "statuses"), ROLES)
def test_each_role_has_its_part(tenant, workspace, path, role, statuses):
    bob = tenant.member("member")
    if role:
        tenant.owner.put(f"/workspaces/{workspace}/members/{bob.user_id}", {"role": role})
    one = f"{path}/{tenant.owner.post(path, board()).json['id']}"
    found = (bob.get(path), bob.post(path, board()), bob.get(one), bob.delete(one))
    assert tuple(answer.status for answer in found) == statuses


def test_its_maker_removes_a_template(tenant, workspace, path):
    bob = tenant.member("member")
    tenant.owner.put(f"/workspaces/{workspace}/members/{bob.user_id}", {"role": "editor"})
    made = bob.post(path, board()).json["id"]
    assert bob.delete(f"{path}/{made}").status == 204


def test_a_foreign_tenant_finds_no_templates(tenant, other_tenant, path):
    one = f"{path}/{tenant.owner.post(path, board()).json['id']}"
    stranger = other_tenant.owner
    for answer in (
        *(stranger.get(path), stranger.post(path, board())),
        *(stranger.get(one), stranger.delete(one)),
    ):
        assert answer.status == 404
    assert len(tenant.owner.get(path).json["items"]) == 1


def test_a_template_of_another_workspace_is_not_found(tenant, path):
    other = tenant.owner.post("/workspaces", {"name": "Other"}).json["id"]
    made = tenant.owner.post(path, board()).json["id"]
    elsewhere = f"/workspaces/{other}/templates/{made}"
    assert tenant.owner.get(elsewhere).status == tenant.owner.delete(elsewhere).status == 404
    body = {"title": "x", "kind": "board", "templateId": made}
    answer = tenant.owner.post(f"/workspaces/{other}/documents", body)
    assert (answer.status, list(answer.json["errors"])) == (422, ["templateId"])


def test_templates_go_with_their_workspace(tenant, workspace, path):
    made = tenant.owner.post(path, board()).json["id"]
    tenant.owner.delete(f"/workspaces/{workspace}")
    assert tenant.owner.get(f"{path}/{made}").status == 404


def test_a_document_cant_begin_with_content_that_nobody_keeps(tenant, workspace, path):
    documents = f"/workspaces/{workspace}/documents"
    full = tenant.owner.post(path, board()).json["id"]
    empty = tenant.owner.post(path, board(content={"objects": {}})).json["id"]
    body = {"title": "x", "kind": "board"}
    refused = tenant.owner.post(documents, {**body, "templateId": full})
    assert (refused.status, refused.code) == (409, "content_unsupported")
    assert tenant.owner.get(documents).json["items"] == []
    assert tenant.owner.post(documents, {**body, "templateId": empty}).status == 201
    wrong = tenant.owner.post(documents, {**body, "kind": "diagram", "templateId": empty})
    assert (wrong.status, list(wrong.json["errors"])) == (422, ["templateId"])
