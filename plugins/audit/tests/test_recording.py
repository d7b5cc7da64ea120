"""What goes on record, and how it is read."""

import csv
import io
import json
from datetime import UTC, datetime

import pytest
import time_machine

START = datetime(2031, 1, 1, tzinfo=UTC)


@pytest.fixture
def log(tenant):
    """The records that fit, newest first, without the readings of the log itself."""

    def read(**query):
        answer = tenant.owner.get("/audit", query_string=query)
        assert answer.status == 200, answer.json
        return [item for item in answer.json["items"] if item["action"] != "audit:read"]

    return read


def change(tenant, member, **options):
    path = f"/tenants/{tenant.id}/members/{member.user_id}"
    return tenant.owner.patch(path, {"spaces": ["client"]}, **options)


def test_a_change_is_on_record_with_who_where_how_and_what(tenant, log):
    bob = tenant.member("member")
    headers = {"X-Request-Id": "r-1", "User-Agent": "planer/2"}
    assert change(tenant, bob, headers=headers).status == 200
    (record,) = log()
    assert record["actorId"] == tenant.owner.user_id
    assert (record["action"], record["outcome"], record["status"]) == (
        *("member:update", "success", 200),
    )
    assert (record["ip"], record["userAgent"], record["requestId"]) == (
        *("127.0.0.1", "planer/2", "r-1"),
    )
    assert (record["method"], record["fields"]) == ("PATCH", ["spaces"])
    assert record["route"] == "/api/v1/tenants/<id:tenant_id>/members/<id:user_id>"
    assert record["events"] == [{"type": "member.changed", "subject": bob.user_id}]
    assert record["resource"] == f"member/{bob.user_id}"
    assert record["at"].endswith("Z")


def test_reading_the_log_is_on_record(tenant):
    tenant.owner.get("/audit")
    tenant.owner.get("/audit/verify")
    items = tenant.owner.get("/audit?action=audit:read").json["items"]
    assert [item["route"] for item in items] == ["/api/v1/audit/verify", "/api/v1/audit"]


def test_records_are_numbered_and_linked(tenant, log):
    bob = tenant.member("member")
    for _ in range(3):
        change(tenant, bob)
    items = log()
    assert [item["seq"] for item in items] == [3, 2, 1]
    assert [item["prevHash"] for item in items] == [items[1]["hash"], items[2]["hash"], "0" * 64]


def test_what_failed_is_on_record_and_the_change_is_not(tenant, log):
    path = f"/tenants/{tenant.id}/members/{tenant.owner.user_id}"
    assert tenant.owner.delete(path).code == "last_owner"
    (record,) = log()
    assert (record["outcome"], record["status"], record["code"]) == ("failed", 409, "last_owner")
    assert (record["resource"], record["events"]) == (f"member/{tenant.owner.user_id}", [])


def test_a_flood_of_refusals_is_two_records_a_minute(tenant, log):
    bob = tenant.member("guest")
    with time_machine.travel(START, tick=False) as clock:
        for _ in range(9):
            assert bob.get("/audit").status == 403
        (at_once,) = tenant.owner.get(f"/audit?actorId={bob.user_id}").json["items"]
        clock.shift(60)
        bob.get("/audit")
        items = tenant.owner.get(f"/audit?actorId={bob.user_id}").json["items"]
    assert at_once["count"] == 1
    assert sorted(item["count"] for item in items) == [1, 1, 8]
    assert {(item["outcome"], item["action"]) for item in items} == {("denied", "audit:read")}


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({}, 3),
        ({"action": "member:update"}, 2),
        ({"action": "member"}, 0),
        ({"outcome": "failed"}, 1),
        ({"resource": "member"}, 3),
        ({"q": "MEMBER.CHANGED"}, 2),
        ({"q": "%"}, 0),
        ({"since": "2001-01-01T00:00:00Z"}, 3),
        ({"until": "2001-01-01T00:00:00Z"}, 0),
    ],
    ids=str,
)
def test_records_are_found_by_every_filter(tenant, log, query, wanted):
    bob = tenant.member("member")
    change(tenant, bob)
    change(tenant, bob)
    tenant.owner.delete(f"/tenants/{tenant.id}/members/{tenant.owner.user_id}")  # the last owner
    assert len(log(**query)) == wanted


def test_records_are_found_by_person_and_by_thing(tenant, log):
    bob, carol = tenant.member("member"), tenant.member("member")
    change(tenant, bob)
    change(tenant, carol)
    assert len(log(actorId=tenant.owner.user_id)) == 2
    assert log(actorId=bob.user_id) == []
    for resource in (bob.user_id, f"member/{bob.user_id}"):
        assert [r["events"][0]["subject"] for r in log(resource=resource)] == [bob.user_id]


@pytest.mark.parametrize("bad", ["outcome=fine", "since=yesterday", "limit=0", "cursor=x", "x=1"])
def test_a_bad_filter_is_refused(tenant, bad):
    assert tenant.owner.get(f"/audit?{bad}").status == 422


def test_the_log_is_paged_completely_and_once(tenant, log):
    bob = tenant.member("member")
    for _ in range(5):
        change(tenant, bob)
    seen, cursor = [], ""
    while cursor is not None:
        page = tenant.owner.get(f"/audit?action=member:update&limit=2{cursor}").json
        seen += [item["seq"] for item in page["items"]]
        cursor = page["nextCursor"] and f"&cursor={page['nextCursor']}"
    assert seen == [item["seq"] for item in log(action="member:update")]
    assert len(seen) == 5


def test_no_other_tenant_reads_it(tenant, other_tenant):
    bob = tenant.member("member")
    change(tenant, bob)
    assert bob.user_id not in json.dumps(other_tenant.owner.get("/audit").json)
    headers = {"X-Tenant-Id": tenant.id}
    assert other_tenant.owner.get("/audit", headers=headers).status == 404


@pytest.mark.parametrize("role", ["member", "guest"])
def test_members_and_guests_may_not_read_it(tenant, role):
    bob = tenant.member(role)
    for path in ("", "/export", "/verify"):
        assert bob.get(f"/audit{path}").status == 403


def test_an_export_has_every_record_oldest_first(tenant):
    bob = tenant.member("member")
    for _ in range(4):
        change(tenant, bob)
    answer = tenant.owner.get("/audit/export")
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.response.get_data().splitlines()]
    assert [line["seq"] for line in lines] == [1, 2, 3, 4]
    assert lines[-1] == tenant.owner.get("/audit?action=member:update").json["items"][0]
    filtered = tenant.owner.get("/audit/export?outcome=denied").response.get_data()
    assert filtered == b""


@pytest.mark.parametrize("lead", ["=", "+", "-", "@", "\t"])
def test_a_spreadsheet_computes_nothing_of_an_export(tenant, lead):
    bob = tenant.member("member")
    change(tenant, bob, headers={"User-Agent": f"x{lead}1"})
    change(tenant, bob, headers={"User-Agent": f'{lead}HYPERLINK("x")'})
    text = tenant.owner.get("/audit/export?format=csv").response.get_data(as_text=True)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["seq"] for row in rows] == ["1", "2"]
    assert rows[0]["userAgent"] == f"x{lead}1"
    assert rows[1]["userAgent"].lstrip("'").startswith(("HYPERLINK", lead))
    assert not rows[1]["userAgent"].startswith(("=", "+", "-", "@", "\t"))
