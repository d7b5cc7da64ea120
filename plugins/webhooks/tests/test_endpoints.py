"""Endpoints: who may have them, what they are made of, their secrets."""

import pytest
from sqlalchemy import select
from treenail.db import system_session
from treenail_webhooks.models import Endpoint

PATH = "/webhooks/endpoints"


def test_an_endpoint_is_made_shown_changed_and_removed(tenant, make_endpoint):
    made = make_endpoint(description="CRM", headers={"X-Mine": "yes"}, schedule=[1, 2.5], fifo=True)
    shown = tenant.owner.get(f"{PATH}/{made['id']}").json
    assert shown == {k: v for k, v in made.items() if k not in ("secret", "oldSecretUntil")}
    assert (shown["schedule"], shown["headers"], shown["fifo"]) == (
        [1, 2.5],
        {"X-Mine": "yes"},
        True,
    )
    changed = tenant.owner.patch(f"{PATH}/{made['id']}", {"events": ["*"], "description": None})
    assert (changed.json["events"], changed.json["description"]) == (["*"], None)
    assert [e["id"] for e in tenant.owner.get(PATH).json["items"]] == [made["id"]]
    assert tenant.owner.delete(f"{PATH}/{made['id']}").status == 204
    assert tenant.owner.get(f"{PATH}/{made['id']}").status == 404


def test_the_secret_is_shown_once_and_sealed_at_rest(app, tenant, make_endpoint):
    made = make_endpoint(headers={"Authorization": "Bearer mine"})
    assert made["secret"].startswith("whsec_")
    assert "secret" not in tenant.owner.get(f"{PATH}/{made['id']}").json
    assert "secret" not in tenant.owner.get(PATH).json["items"][0]
    with app.app_context(), system_session("test") as session:
        row = session.execute(select(Endpoint.__table__).where(Endpoint.id == made["id"])).one()
    assert made["secret"] not in repr(row)
    assert "Bearer mine" not in repr(row)


def test_the_default_schedule_is_five_tries_in_an_hour(tenant, receiver):
    made = tenant.owner.post(PATH, {"url": receiver.url, "events": ["*"]}).json
    assert made["schedule"] == [5, 60, 600, 3600]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(
            ("events", value)
            for value in ([], ["document*"], ["*.created"], ["a b"], [""], "*", [1])
        ),
        *(("schedule", value) for value in ([-1], [1e9], ["x"], [1] * 21, 5)),
        *(("headers", {name: "x"}) for name in ("Host", "content-length", "Transfer-Encoding")),
        *(("headers", {name: "x"}) for name in ("webhook-id", "WEBHOOK-X", "X-Hub-Signature-256")),
        *(("headers", {name: "x"}) for name in ("Connection", "ce-id", "a b", "", "a:b", "é")),
        *(("headers", {"X-A": value}) for value in ("", "a\r\nb: c", "a\nb", "é", " ", "a\0")),
        ("headers", {"X-A": "1", "x-a": "2"}),
        ("headers", {f"X-{n}": "x" for n in range(21)}),
        ("fifo", "often"),
        ("secret", "mine"),
        ("tenantId", "x"),
    ],
)
def test_a_bad_field_is_named_and_nothing_is_kept(tenant, receiver, make_endpoint, field, value):
    body = {"url": receiver.url, "events": ["*"], field: value}
    answer = tenant.owner.post(PATH, body)
    assert (answer.status, [*answer.json["errors"]]) == (422, [field])
    made = make_endpoint()
    assert tenant.owner.patch(f"{PATH}/{made['id']}", {field: value}).status == 422
    assert tenant.owner.get(PATH).json["items"][0]["updatedAt"] == made["updatedAt"]


def test_an_endpoint_is_changed_only_as_it_was_read(tenant, make_endpoint):
    made = make_endpoint()
    path = f"{PATH}/{made['id']}"
    tag = tenant.owner.get(path).headers["ETag"]
    fresh = tenant.owner.patch(path, {"fifo": True}, headers={"If-Match": tag})
    stale = tenant.owner.patch(path, {"fifo": False}, headers={"If-Match": tag})
    assert (fresh.status, stale.status) == (200, 412)
    assert tenant.owner.get(path).json["fifo"] is True


def test_another_tenant_sees_and_changes_nothing(tenant, other_tenant, make_endpoint):
    path = f"{PATH}/{make_endpoint()['id']}"
    foreign = other_tenant.owner
    assert foreign.get(PATH).json["items"] == []
    calls = [foreign.get(path), foreign.patch(path, {"fifo": True}), foreign.delete(path)]
    calls += [foreign.post(f"{path}/{verb}") for verb in ("test", "rotate-secret")]
    calls.append(foreign.post(f"{path}/replay", {"since": "2026-01-01T00:00:00Z"}))
    assert {answer.status for answer in calls} == {404}
    assert tenant.owner.get(path).json["fifo"] is False


def test_a_member_may_not(tenant, make_endpoint):
    path = f"{PATH}/{make_endpoint()['id']}"
    member = tenant.member("member")
    calls = [member.get(PATH), member.get(path), member.delete(path), member.post(f"{path}/test")]
    calls += [member.get("/webhooks/deliveries"), member.get("/webhooks/dead-letters")]
    assert {(answer.status, answer.json["permission"]) for answer in calls} == {
        (403, "webhook:manage")
    }


def test_a_tenant_has_only_so_many(tenant, receiver, monkeypatch):
    monkeypatch.setattr("treenail_webhooks.endpoints.MOST", 2)
    body = {"url": receiver.url, "events": ["*"]}
    answers = [tenant.owner.post(PATH, body) for _ in range(3)]
    assert [answer.status for answer in answers] == [201, 201, 409]
    assert answers[2].code == "too_many_endpoints"


def test_what_is_told_of_an_endpoint_names_its_host_alone(make_endpoint, captured_events):
    made = make_endpoint("/in/secret?token=secret")
    (event,) = [e for e in captured_events("webhook.created") if e.subject == made["id"]]
    assert event.data == {"endpointId": made["id"], "host": "127.0.0.1"}
