"""The web face: whatever comes in, what goes out is JSON, or a problem with a code."""

from typing import Any

import orjson
import pytest
from flask import Blueprint
from marshmallow import fields
from sqlalchemy import event, select
from sqlalchemy.orm import Mapped, mapped_column
from treenail.contributions import ResourceType
from treenail.db import Identified, Model, Tenanted, db, tenant_session
from treenail.errors import Conflict, TooLarge, Unavailable
from treenail.ids import uuid7
from treenail.plugin import Plugin, hookimpl
from treenail.schemas import Schema, Text
from treenail.testing import make_tables
from treenail.testing.callers import make_person, make_tenant
from treenail.web import (
    Page,
    PageRequest,
    authenticated,
    endpoint,
    paginate,
    permission,
    principal,
    public,
)

MISSING = "01890a5d-ac96-774b-bcce-b302099a8057"
blueprint = Blueprint("shop", __name__)


class Item(Identified, Tenanted, Model):
    __tablename__ = "shop_items"
    number: Mapped[int] = mapped_column()


class ItemSchema(Schema):
    id = fields.String()
    number = fields.Integer()


class Search(Schema):
    q = Text(40)


class Order(Schema):
    name = Text(200, required=True)
    count = fields.Integer(strict=True)
    tags = fields.List(fields.String())
    extra = fields.Dict()


class Echo(Schema):
    echo = fields.Raw()


@blueprint.post("/shop/orders")
@endpoint(public, body=Order, answers=Echo)
def order(body: dict[str, Any]) -> dict[str, Any]:
    """Say it back."""
    return {"echo": body}


@blueprint.get("/shop/items")
@endpoint(permission("shop:use"), query=Search, answers=ItemSchema, paged=True)
def items(page: PageRequest, query: dict[str, Any]) -> Page[Item]:
    """All of them."""
    return paginate(db.session(), select(Item), Item.id, page)


@blueprint.get("/shop/write")
@endpoint(permission("shop:use"))
def write_while_reading() -> None:
    """What a GET mustn't."""
    db.session.add(Item(number=1))


@blueprint.post("/shop/fail/<how>")
@endpoint(permission("shop:use"))
def fail(how: str) -> None:
    """Write something, then fail."""
    db.session.add(Item(number=-1))
    db.session.flush()
    raise {
        "bug": RuntimeError("secret detail"),
        "conflict": Conflict("no", code="shop_closed", current={"a": 1}),
        "large": TooLarge(),
        "unavailable": Unavailable(headers={"Retry-After": "3"}),
    }[how]


@blueprint.get("/shop/nobody")
@endpoint(public, answers=Echo)
def nobody() -> dict[str, Any]:
    """Asks who calls where nobody was asked to say."""
    return {"echo": principal().user_id}


@blueprint.get("/shop/somebody")
@endpoint(authenticated, answers=Echo)
def somebody() -> dict[str, Any]:
    """Touches a tenant's session without one."""
    db.session.scalars(select(Item))
    return {}


class Shop(Plugin):
    name = "shop"
    version = "1.0"

    @hookimpl
    def blueprints(self):
        return [blueprint]

    @hookimpl
    def resource_types(self):
        return [ResourceType("shop", {"owner": frozenset({"shop:use"})})]


@pytest.fixture(scope="module")
def plugins():
    return {"shop": Shop}


@pytest.fixture(scope="module")
def environ():
    return {"TREENAIL_PLUGINS": "shop"}


@pytest.fixture(scope="module", autouse=True)
def _tables(app):
    make_tables(app, Item)


def is_problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    assert (answer.status, answer.response.content_type) == (status, "application/problem+json")
    document = orjson.loads(answer.response.data)
    assert {"type", "title", "status", "detail", "code", "requestId"} <= document.keys()
    assert (document["code"], document["status"]) == (code, status)
    assert not {"Traceback", "<html", "<!doctype", "sqlalchemy"} & set(str(document).split())
    return document


def post(client: Any, data: bytes | str, content_type: str | None = "application/json") -> Any:
    return client.post("/shop/orders", data=data, content_type=content_type)


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"nonsense",
        b"{'name': 'oak'}",
        b'{"name": NaN}',
        b'{"name": "\xff"}',
        b'{"name": "\\ud800"}',
        b'{"name": "\xed\xa0\x80"}',
        b'\xef\xbb\xbf{"name": "oak"}',
        '{"name": "oak"}'.encode("utf-16"),
        b'{"name":' + b"[" * 5000 + b"]" * 5000 + b"}",
    ],
)
def test_malformed_json_is_400(client, data: bytes):
    is_problem(post(client, data), 400, "malformed_json")


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/xml", "json", ""])
def test_another_content_type_is_415(client, content_type: str | None):
    is_problem(post(client, '{"name": "oak"}', content_type), 415, "unsupported_media_type")


def test_a_charset_beside_the_type_is_welcome(client):
    answer = post(client, '{"name": "oak"}', "application/json; charset=utf-8")
    assert answer.json == {"echo": {"name": "oak"}}


@pytest.mark.parametrize("data", ["[]", '"oak"', "1", "null", "true"])
def test_a_body_that_is_no_object_is_422(client, data: str):
    assert is_problem(post(client, data), 422, "invalid")["errors"] == {"body": ["Not an object."]}


def test_an_absent_body_counts_as_empty(client):
    document = is_problem(client.post("/shop/orders"), 422, "invalid")
    assert list(document["errors"]) == ["name"]


@pytest.mark.parametrize(
    ("extra", "field"),
    [
        ({"colour": "red"}, "colour"),
        ({"count": "many"}, "count"),
        ({"count": 1.5}, "count"),
        ({"count": True}, "count"),
        ({"tags": "oak"}, "tags"),
        ({"tags": [1]}, "tags"),
        ({"extra": []}, "extra"),
        ({"name": None}, "name"),
        ({"name": 1}, "name"),
        ({"name": ""}, "name"),
        ({"name": " \t"}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "x\0"}, "name"),
        ({"tags": ["oak", "el\0m"]}, "tags"),
        ({"extra": {"a": [{"b": "\0"}]}}, "extra"),
        ({"extra": {"a\0": 1}}, "extra"),
        ({"colour\0": "red"}, "body"),
        ({"\0": "\0"}, ""),
    ],
)
def test_what_does_not_fit_is_422_and_named(client, extra: dict[str, Any], field: str):
    answer = client.post("/shop/orders", {"name": "oak"} | extra)
    assert field in is_problem(answer, 422, "invalid")["errors"]


@pytest.mark.parametrize("depth", [150, 900, 1020])
def test_what_is_nested_deeply_is_422(client, depth: int):
    deep = b'{"name": "oak", "extra": {"a": ' + b"[" * depth + b"]" * depth + b"}}"
    assert "extra" in is_problem(post(client, deep), 422, "invalid")["errors"]


def test_a_body_beyond_the_limit_is_413(client):
    is_problem(post(client, orjson.dumps({"name": "x" * 10_000_000})), 413, "content_too_large")


@pytest.mark.parametrize(
    "name", ["Zimmerei 🪵🌳", "نجارة بلوط", "e\u0301\u202eabc", "木工\u200d", "' OR 1=1 --"]
)
def test_text_comes_back_as_it_went(app, name: str):
    ann = make_person(app)
    made = ann.post("/tenants", {"name": name})
    assert made.json["name"] == name
    assert ann.get(f"/tenants/{made.json['id']}").json["name"] == name


@pytest.mark.parametrize("bad", ["1", "x", MISSING.upper(), f"{{{MISSING}}}", MISSING[:-1], "%00"])
def test_an_id_that_is_none_is_404(tenant, bad: str):
    is_problem(tenant.owner.get(f"/tenants/{bad}"), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "//nowhere", 404, "not_found"),
        ("GET", "//", 404, "not_found"),
        ("GET", "/me/", 404, "not_found"),
        ("GET", "//api//v1//me", 404, "not_found"),
        ("GET", "//api/v1/../../etc/passwd", 404, "not_found"),
        ("GET", "/docs/..%2f..%2fsecret", 404, "not_found"),
        ("POST", "/me", 405, "method_not_allowed"),
        ("BREW", "/me", 405, "method_not_allowed"),
        ("TRACE", "/me", 405, "method_not_allowed"),
    ],
)
def test_an_unknown_address_or_method_is_a_problem(client, method, path, status, code):
    answer = client.call(method, path)
    is_problem(answer, status, code)
    assert ("Allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=201", "limit=x", "limit=-1", "limit=1.5", f"limit={'9' * 5000}",
        "cursor=x", "cursor=", "cursor=%00", "cursor=é", f"cursor={MISSING}", "q=", "q=%00",
        "unknown=1", "a%00=1",
    ],
)  # fmt: skip
def test_a_bad_query_is_422(tenant, query: str):
    is_problem(tenant.owner.get(f"/shop/items?{query}"), 422, "invalid")


def test_pages_are_complete_and_without_doubles(app, tenant):
    made = _stock(app, tenant.id, 23)
    seen, cursor, pages = [], "", 0
    while cursor is not None:
        answer = tenant.owner.get(f"/shop/items?limit=5{cursor and f'&cursor={cursor}'}").json
        seen += [item["id"] for item in answer["items"]]
        cursor, pages = answer["nextCursor"], pages + 1
    assert seen == sorted(made, reverse=True)
    assert pages == 5


def test_a_page_that_is_just_full_has_no_next(app, tenant):
    _stock(app, tenant.id, 4)
    assert tenant.owner.get("/shop/items?limit=4").json["nextCursor"] is None
    assert tenant.owner.get("/shop/items?limit=3").json["nextCursor"] is not None


def test_a_page_is_of_one_tenant(app, tenant, other_tenant):
    _stock(app, other_tenant.id, 3)
    assert tenant.owner.get("/shop/items").json == {"items": [], "nextCursor": None}


def _stock(app, tenant_id: str, count: int) -> list[str]:
    with app.app_context(), tenant_session(tenant_id) as session:
        made = [Item(number=number) for number in range(count)]
        session.add_all(made)
        return [item.id for item in made]


def _queries(app, caller: Any, path: str) -> int:
    counted: list[str] = []
    with app.app_context():
        engine = db.engine
    listen = (engine, "before_cursor_execute", lambda *a: counted.append(a[2]))
    event.listen(*listen)
    assert caller.get(path).status == 200
    event.remove(*listen)
    return len([sql for sql in counted if sql.startswith("SELECT")])


@pytest.mark.parametrize("path", ["/shop/items", "/tenants/{id}/members", "/tenants", "/me"])
def test_a_list_takes_the_same_number_of_queries_however_long(app, tenant, path: str):
    path = path.format(id=tenant.id)
    few = _queries(app, tenant.owner, path)
    _stock(app, tenant.id, 40)
    for _ in range(5):
        tenant.member()
        tenant.owner.post("/tenants", {"name": "More"})
    assert _queries(app, tenant.owner, path) == few <= 6


def test_a_request_id_is_echoed_or_made(client):
    given = client.get("/nowhere", headers={"X-Request-Id": "abc-123_4.5"})
    assert given.headers["X-Request-Id"] == "abc-123_4.5" == given.json["requestId"]
    for bad in ("", "a b", "x" * 129, "é", 'x"y', "<script>"):
        made = client.get("//healthz", headers={"X-Request-Id": bad.encode().decode("latin-1")})
        assert made.headers["X-Request-Id"] not in ("", bad)
        assert len(made.headers["X-Request-Id"]) == 36


@pytest.mark.parametrize(
    "bad", ["", "x", MISSING.upper(), MISSING.replace("-", ""), f" {MISSING}x"]
)
def test_a_tenant_header_that_is_no_id_is_400(app, bad: str):
    answer = make_person(app).get("/me", headers={"X-Tenant-Id": bad})
    is_problem(answer, 400, "bad_request")


def test_a_tenant_must_be_said_when_there_are_two(app):
    ann = make_person(app)
    first, _ = (ann.post("/tenants", {"name": name}).json["id"] for name in "AB")
    is_problem(ann.get("/shop/items"), 409, "tenant_required")
    assert ann.get("/shop/items", headers={"X-Tenant-Id": first}).status == 200
    is_problem(make_person(app).get("/shop/items"), 409, "tenant_required")


def test_a_foreign_and_an_absent_tenant_answer_alike(tenant, other_tenant):
    answers = [
        tenant.owner.get("/shop/items", headers={"X-Tenant-Id": tenant_id})
        for tenant_id in (other_tenant.id, uuid7())
    ]
    documents = [is_problem(answer, 404, "not_found") | {"requestId": ""} for answer in answers]
    assert documents[0] == documents[1]


@pytest.mark.parametrize(
    ("how", "status", "code"),
    [
        ("bug", 500, "internal_error"),
        ("conflict", 409, "shop_closed"),
        ("large", 413, "content_too_large"),
        ("unavailable", 503, "unavailable"),
    ],
)
def test_a_failing_request_writes_nothing(app, how: str, status: int, code: str):
    tenant = make_tenant(app)
    answer = tenant.owner.post(f"/shop/fail/{how}")
    document = is_problem(answer, status, code)
    assert "secret detail" not in str(document)
    assert (how == "conflict") == ("current" in document)
    assert (how == "unavailable") == ("Retry-After" in answer.headers)
    assert tenant.owner.get("/shop/items").json["items"] == []


def test_a_get_cannot_write(tenant):
    is_problem(tenant.owner.get("/shop/write"), 500, "internal_error")
    assert tenant.owner.get("/shop/items").json["items"] == []


def test_without_a_permission_there_is_no_tenants_session(app, client):
    is_problem(make_person(app).get("/shop/somebody"), 500, "internal_error")
    is_problem(client.get("/shop/nobody"), 401, "unauthenticated")


def test_every_answer_forbids_guessing_and_framing(client):
    for path in ("//healthz", "/nowhere", "/docs"):
        headers = client.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert "Set-Cookie" not in headers


def test_readyz_is_503_without_a_database(app, client, monkeypatch):
    def gone(*_: Any, **__: Any) -> None:
        raise RuntimeError("host db.internal refused")

    monkeypatch.setattr("treenail.web.platform_routes.system_session", gone)
    document = is_problem(client.get("//readyz"), 503, "unavailable")
    assert "db.internal" not in str(document)
    assert client.get("//healthz").status == 200
