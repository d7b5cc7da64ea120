"""Finding documents: by title, in every order, and those shared with oneself."""

import string
from datetime import timedelta

import pytest
import time_machine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, insert, text
from treenail.clock import utcnow
from treenail.db import db, engines, system_session
from treenail.ids import uuid7
from treenail.migrate import owner
from treenail_workspaces.listing import ORDERS
from treenail_workspaces.models import KEY_LENGTH, Document, title_key


@pytest.fixture
def make(tenant, workspace):
    """Make documents with these titles; returns their ids."""

    def documents(*titles):
        bodies = [{"title": title, "kind": "board"} for title in titles]
        path = f"/workspaces/{workspace}/documents"
        return [tenant.owner.post(path, body).json["id"] for body in bodies]

    return documents


def titles(caller, path, **query):
    """The titles of a whole list, page by page."""
    found, cursor = [], None
    while True:
        more = {"cursor": cursor} if cursor else {}
        answer = caller.get(path, query_string={**query, **more})
        assert answer.status == 200, answer.json
        found += [item["title"] for item in answer.json["items"]]
        cursor = answer.json["nextCursor"]
        if cursor is None:
            return found


@pytest.mark.parametrize(
    ("q", "wanted"),
    [
        ("roof", ["Roof", "ROOF truss"]),
        ("ROOF T", ["ROOF truss"]),
        ("нАСТ", ["Настил"]),
        ("éTÉ", ["Été"]),
        ("strasse", ["Große Straße"]),
        ("½ I", ["½ inch"]),
        ("OFFICE", ["Oﬃce"]),
        ("100%", ["100% oak"]),
        ("%", ["100% oak"]),
        ("_", ["a_b"]),
        ("\\", ["back\\slash"]),
        ("'; --", []),
        ("", None),
    ],
)
def test_a_title_is_found_by_any_part_of_it(tenant, workspace, make, q, wanted):
    every = ["Roof", "ROOF truss", "Настил", "Été", "Große Straße", "½ inch", "100% oak", "a_b"]
    every += ["back\\slash", "Oﬃce"]
    make(*every)
    for path in ("/documents", f"/workspaces/{workspace}/documents"):
        assert sorted(titles(tenant.owner, path, q=q)) == sorted(
            every if wanted is None else wanted
        )


def test_a_renamed_document_is_found_by_its_new_title(tenant, make):
    (one,) = make("Roof")
    tenant.owner.patch(f"/documents/{one}", {"title": "Floor"})
    assert titles(tenant.owner, "/documents", q="roof") == []
    assert titles(tenant.owner, "/documents", q="FLOOR") == ["Floor"]


@pytest.mark.parametrize("sort", ORDERS)
def test_every_order_is_paged_completely_and_once(tenant, workspace, make, sort):
    made = ["b", "A", "b", "Ä", "Z", "b", "é"]
    ids = make(*made)
    made[1] = "a"
    tenant.owner.patch(f"/documents/{ids[1]}", {"title": "a"})
    keys = {"title": title_key, "createdAt": lambda _: 0, "updatedAt": lambda t: t == "a"}
    wanted = sorted(made, key=keys[sort.strip("-")])
    wanted = wanted[::-1] if sort.startswith("-") else wanted
    for path in ("/documents", f"/workspaces/{workspace}/documents"):
        found = titles(tenant.owner, path, sort=sort, limit=2)
        assert found == wanted


def test_the_newest_come_first_when_nothing_is_asked(tenant, make):
    make("1", "2", "3")
    assert titles(tenant.owner, "/documents", limit=1) == ["3", "2", "1"]


@pytest.mark.parametrize("other", [*(o for o in ORDERS if o != "title"), None])
def test_a_cursor_of_another_order_is_refused(tenant, make, other):
    make("a", "b")
    cursor = tenant.owner.get("/documents?sort=title&limit=1").json["nextCursor"]
    query = {"cursor": cursor} | ({"sort": other} if other else {})
    answer = tenant.owner.get("/documents", query_string=query)
    assert (answer.status, list(answer.json["errors"])) == (422, ["cursor"])


@pytest.mark.parametrize(
    ("query", "field"),
    [("sort=size", "sort"), ("shared=byMe", "shared"), ("q=" + "x" * 301, "q"), ("q=%00", "q")],
)
def test_a_bad_question_is_refused_by_field(tenant, query, field):
    answer = tenant.owner.get(f"/documents?{query}")
    assert (answer.status, list(answer.json["errors"])) == (422, [field])


def test_others_documents_are_not_found(tenant, other_tenant, workspace, make):
    make("Roof")
    bob = tenant.member("member")
    for caller in (bob, other_tenant.owner):
        assert titles(caller, "/documents", q="roof", sort="title") == []
        assert caller.get(f"/workspaces/{workspace}/documents?q=roof").status == 404


NAMES = st.text(string.ascii_letters + "éÉßﬁ%_/", min_size=1)
SHARED = [HealthCheck.function_scoped_fixture]


@settings(max_examples=25, deadline=None, suppress_health_check=SHARED)
@given(made=st.lists(NAMES, max_size=5), q=st.text())
def test_search_and_order_are_those_of_the_key(app, tenant, made, q):
    q = q.replace("\0", "").encode("utf-8", "ignore").decode()[:300]
    workspace = tenant.owner.post("/workspaces", {"name": "x"}).json["id"]
    path = f"/workspaces/{workspace}/documents"
    for title in made:
        tenant.owner.post(path, {"title": title, "kind": "board"})
    wanted = sorted((t for t in made if title_key(q) in title_key(t)), key=title_key)
    found = titles(tenant.owner, path, q=q, sort="title", limit=2)
    assert list(map(title_key, found)) == list(map(title_key, wanted))


def test_a_title_that_grows_when_folded_is_kept(tenant, workspace):
    path = f"/workspaces/{workspace}/documents"
    for title in ("ﷺ" * 300, "".join(map(chr, range(0x20000, 0x2012C)))):
        made = tenant.owner.post(path, {"title": title, "kind": "board"})
        assert (made.status, made.json["title"]) == (201, title)
    assert len(title_key("ﷺ" * 300)) == KEY_LENGTH


def test_a_list_shared_with_one_holds_what_only_a_grant_shows(tenant, workspace, document):
    ann, bob = tenant.member("admin"), tenant.member("member")
    grants = f"/documents/{document}/grants"
    for person in (ann, bob):
        tenant.owner.put(f"{grants}/{person.user_id}", {"role": "editor"})
    shared = {"shared": "withMe"}
    assert titles(bob, "/documents", **shared) == titles(bob, "/documents") == ["Roof"]
    assert titles(ann, "/documents", **shared) == []  # she sees it through the tenant
    assert titles(tenant.owner, "/documents", **shared) == []
    member = f"/workspaces/{workspace}/members/{bob.user_id}"
    tenant.owner.put(member, {"role": "viewer"})
    assert titles(bob, "/documents", **shared) == []  # and he now through the workspace
    tenant.owner.delete(member)
    assert titles(bob, "/documents", **shared, q="oof", sort="title") == ["Roof"]
    tenant.owner.delete(f"{grants}/{bob.user_id}")
    assert titles(bob, "/documents", **shared) == []


def test_the_order_of_change_is_that_of_the_moments(tenant, make):
    (one, _) = make("one", "two")
    with time_machine.travel(utcnow() + timedelta(days=1)):
        tenant.owner.patch(f"/documents/{one}", {"title": "first"})
    assert titles(tenant.owner, "/documents", sort="-updatedAt", limit=1) == ["first", "two"]


@pytest.fixture
def crowded(app, tenant, workspace):
    """The workspace with 10,000 documents, and the database told so."""
    numbers = range(10_000)
    rows = [
        {
            "id": uuid7(),
            "tenant_id": tenant.id,
            "workspace_id": workspace,
            "title": f"Sheet {n * 7919 % 10_000}",
            "title_key": f"sheet {n * 7919 % 10_000}",
            "kind": "board",
            "created_by": tenant.owner.user_id,
            "updated_at": utcnow() + timedelta(seconds=n * 104_729 % 10_000),
        }
        for n in numbers
    ]
    with app.app_context(), system_session("test") as session:
        session.execute(insert(Document), rows)
    with owner.transaction(app.extensions["treenail"].settings) as connection:
        connection.execute(text("ANALYZE"))


def test_no_list_of_10000_documents_is_sorted_or_read_whole(app, tenant, workspace, crowded):
    with app.app_context():
        engine, watched = db.engine, engines.all_of(db.engine)
    lite = engine.dialect.name == "sqlite"
    plans = {}

    def explain(connection, cursor, statement, parameters, *rest):
        if "LIMIT" in statement:
            ask = "EXPLAIN QUERY PLAN " if lite else "EXPLAIN "
            rows = cursor.execute(ask + statement, parameters).fetchall()
            plans[path, sort] = "\n".join(str(row[-1]) for row in rows)

    for each in watched:
        event.listen(each, "before_cursor_execute", explain)
    try:
        for path in ("/documents", f"/workspaces/{workspace}/documents"):
            for sort in ORDERS:
                page = tenant.owner.get(f"{path}?sort={sort}&limit=5").json
                cursor = page["nextCursor"]
                tenant.owner.get(f"{path}?sort={sort}&limit=5&cursor={cursor}")
    finally:
        for each in watched:
            event.remove(each, "before_cursor_execute", explain)
    assert len(plans) == 2 * len(ORDERS)
    for which, plan in plans.items():
        assert "Index" in plan or "USING INDEX" in plan, (which, plan)
        assert not any(word in plan for word in ("Sort", "TEMP B-TREE")), (which, plan)
