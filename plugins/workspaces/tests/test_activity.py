"""The feed of a workspace, and the figures made from it."""

from collections import Counter
from datetime import timedelta

import pytest
import time_machine
from treenail.clock import utcnow
from treenail.contributions import Delivery
from treenail_workspaces.tasks import record_activity


@pytest.fixture
def feed(workspace, run_tasks):
    """The whole feed as somebody sees it, page by page."""

    def read(caller, limit=50):
        run_tasks()
        found, cursor = [], ""
        while cursor is not None:
            query = f"limit={limit}{cursor and f'&cursor={cursor}'}"
            page = caller.get(f"/workspaces/{workspace}/activity?{query}").json
            found, cursor = found + page["items"], page["nextCursor"]
        return found

    return read


def types(items):
    return [item["type"] for item in items]


def test_what_happens_in_a_workspace_is_told_newest_first(tenant, workspace, document, feed):
    bob = tenant.member("member")
    tenant.owner.put(f"/workspaces/{workspace}/members/{bob.user_id}", {"role": "editor"})
    bob.patch(f"/documents/{document}", {"title": "Floor"})
    tenant.owner.put(f"/documents/{document}/grants/{bob.user_id}", {"role": "owner"})
    link = bob.post(f"/documents/{document}/links", {"role": "viewer"}).json["id"]
    bob.delete(f"/documents/{document}/links/{link}")
    body = {"name": "x", "kind": "board", "content": {"objects": {}}}
    tenant.owner.post(f"/workspaces/{workspace}/templates", body)
    feed(tenant.owner)  # a role on what is gone would have no place any more
    tenant.owner.delete(f"/documents/{document}")
    items = feed(tenant.owner)
    assert types(items) == [
        *("document.deleted", "template.created"),
        *("role.granted", "document.updated", "role.granted"),
        *("document.created", "workspace.created"),
    ]
    changed = items[3]
    assert (changed["actorId"], changed["actorName"]) == (bob.user_id, "Ann Oak")
    assert (changed["documentId"], changed["data"]["title"]) == (document, "Floor")
    assert changed["occurredAt"].endswith("Z")
    assert items[-1]["documentId"] is None


def test_links_are_told_of_to_those_who_may_share(tenant, workspace, document, feed):
    bob = tenant.member("member")
    tenant.owner.put(f"/workspaces/{workspace}/members/{bob.user_id}", {"role": "editor"})
    tenant.owner.post(f"/documents/{document}/links", {"role": "viewer"})
    assert "link.created" in types(feed(tenant.owner))
    assert "link.created" not in types(feed(bob))


def test_the_feed_is_paged_completely_and_once(tenant, workspace, document, feed):
    for n in range(6):
        tenant.owner.patch(f"/documents/{document}", {"title": f"{n}"})
    whole = feed(tenant.owner)
    assert len({item["id"] for item in whole}) == 8
    assert feed(tenant.owner, limit=3) == whole


def test_an_event_delivered_twice_is_told_once(app, tenant, workspace, feed, captured_events):
    tenant.owner.patch(f"/workspaces/{workspace}", {"name": "Shop"})
    before = feed(tenant.owner)
    (event,) = captured_events("workspace.updated")
    with app.app_context():
        record_activity(Delivery("again", event, "", 2))
    assert feed(tenant.owner) == before


def test_the_feed_goes_with_its_workspace(tenant, workspace, document, feed, run_tasks):
    assert feed(tenant.owner)
    tenant.owner.delete(f"/workspaces/{workspace}")
    run_tasks()  # what happened last has no feed to go to any more
    assert tenant.owner.get(f"/workspaces/{workspace}/activity").status == 404


PLACES = ("activity", "analytics")


@pytest.mark.parametrize("place", PLACES)
def test_a_foreign_tenant_finds_no_activity(tenant, other_tenant, workspace, place):
    assert other_tenant.owner.get(f"/workspaces/{workspace}/{place}").status == 404


@pytest.mark.parametrize(
    ("role", "statuses"),
    [(None, (404, 404)), ("viewer", (200, 403)), ("editor", (200, 403)), ("admin", (200, 200))],
)
def test_members_read_the_feed_and_managers_the_figures(tenant, workspace, role, statuses):
    bob = tenant.member("member")
    if role:
        tenant.owner.put(f"/workspaces/{workspace}/members/{bob.user_id}", {"role": role})
    assert tuple(bob.get(f"/workspaces/{workspace}/{p}").status for p in PLACES) == statuses


def test_the_feed_costs_the_same_however_long(tenant, workspace, document, feed, count_queries):
    costs = set()
    for _ in range(2):
        tenant.owner.patch(f"/documents/{document}", {"title": f"{len(feed(tenant.owner))}"})
        for place in PLACES:
            with count_queries() as queries:
                tenant.owner.get(f"/workspaces/{workspace}/{place}")
            costs.add((place, len(queries)))
    assert len(costs) == 2


@pytest.fixture
def figures(workspace, run_tasks):
    """The analytics as somebody sees them."""

    def read(caller, **query):
        run_tasks()
        answer = caller.get(f"/workspaces/{workspace}/analytics", query_string=query)
        assert answer.status == 200, answer.json
        return answer.json

    return read


def test_the_figures_are_the_feed_counted(tenant, workspace, document, feed, figures):
    bob = tenant.member("member")
    tenant.owner.put(f"/workspaces/{workspace}/members/{bob.user_id}", {"role": "editor"})
    with time_machine.travel(utcnow() + timedelta(days=3)):
        for n in range(5):
            bob.patch(f"/documents/{document}", {"title": f"{n}"})
    items = feed(tenant.owner)
    today = utcnow().date()
    found = figures(tenant.owner, since=today, until=today + timedelta(days=9))
    for of, key in (("date", lambda i: i["occurredAt"][:10]), ("userId", lambda i: i["actorId"])):
        wanted = Counter((key(item), item["type"]) for item in items)
        rows = found["days" if of == "date" else "members"]
        assert {(r[of], kind): n for r in rows for kind, n in r["counts"].items()} == wanted
    assert [day["date"] for day in found["days"]] == sorted(day["date"] for day in found["days"])
    assert found["members"][0] == {
        **{"userId": bob.user_id, "name": "Ann Oak"},
        "counts": {"document.updated": 5},
    }


def test_the_figures_end_where_they_are_told_to(tenant, workspace, document, figures):
    with time_machine.travel(utcnow() + timedelta(days=40)):
        tenant.owner.patch(f"/documents/{document}", {"title": "later"})
        late = figures(tenant.owner)
    today = utcnow().date()
    assert [sum(day["counts"].values()) for day in late["days"]] == [1]
    days = figures(tenant.owner, since=today, until=today)["days"]
    assert days == [{"date": str(today), "counts": {"document.created": 1, "workspace.created": 1}}]
    moments = {"since": f"{today}T00:00:00Z", "until": f"{today}T23:59:59.999Z"}
    assert figures(tenant.owner, **moments)["days"] == days
    assert figures(tenant.owner, until=today - timedelta(days=1)) == {"days": [], "members": []}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("since=yesterday", "since"),
        ("until=2026-13-01", "until"),
        ("until=2026-01-01T00:00:00", "until"),
        ("since=T", "since"),
        ("since=2026-02-02&until=2026-02-01", "since"),
        ("since=2024-01-01&until=2026-02-01", "since"),
        ("since=9999-12-31", "since"),
        ("until=0001-01-01", "until"),
        ("until=0001-01-01T00:00:00%2B01:00", "until"),
    ],
)
def test_a_bad_span_is_refused_by_field(tenant, workspace, query, field):
    answer = tenant.owner.get(f"/workspaces/{workspace}/analytics?{query}")
    assert (answer.status, list(answer.json["errors"])) == (422, [field])
