"""Redelivery, replay, rotation."""

from datetime import datetime, timedelta

import pytest
import time_machine
from sqlalchemy import select, update
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from treenail.clock import rfc3339, utcnow
from treenail.db import system_session
from treenail.deliveries import DeliveryRow
from treenail_webhooks import signing

PATH = "/webhooks/endpoints"
MEMBERS = ["member.*"]


def replay(tenant, made, **order):
    given = {"since": "2026-01-01T00:00:00Z", **order}
    return tenant.owner.post(f"{PATH}/{made['id']}/replay", given)


def statuses(tenant, **query):
    asked = "&".join(f"{key}={value}" for key, value in query.items())
    items = tenant.owner.get(f"/webhooks/deliveries?{asked}").json["items"]
    return sorted(item["status"] for item in items)


def test_a_dead_letter_is_delivered_again(
    tenant, receiver, make_endpoint, tell, delivery, run_tasks
):
    receiver.says(500, 204)
    event_id = tell(make_endpoint()["id"])
    found = delivery(event_id)
    assert found["status"] == "dead"
    answer = tenant.owner.post(f"/webhooks/deliveries/{found['id']}/redeliver")
    assert (answer.status, answer.json["status"]) == (202, "pending")
    run_tasks()
    assert statuses(tenant, eventId=event_id) == ["dead", "delivered"]
    assert {r.headers["Webhook-Id"] for r in receiver.requests} == {event_id}
    assert answer.json["id"] != found["id"]
    again = tenant.owner.get(f"/webhooks/deliveries/{answer.json['id']}").json
    assert [a["status"] for a in again["attempts"]] == [204]


def test_what_waits_for_its_retry_is_tried_now(
    tenant, receiver, make_endpoint, tell, delivery, run_tasks
):
    receiver.says(500, 204)
    event_id = tell(make_endpoint(schedule=[3600])["id"])
    tenant.owner.post(f"/webhooks/deliveries/{delivery(event_id)['id']}/redeliver")
    run_tasks()
    assert delivery(event_id)["status"] == "delivered"


def test_what_is_being_tried_is_not_begun_again(app, tenant, make_endpoint, tell, delivery):
    found = delivery(tell(make_endpoint()["id"]))
    with app.app_context(), system_session("test") as session:
        later = utcnow() + timedelta(minutes=1)
        row = update(DeliveryRow).where(DeliveryRow.id == found["id"])
        session.execute(row.values(status="running", due_at=later))
    answer = tenant.owner.post(f"/webhooks/deliveries/{found['id']}/redeliver")
    assert (answer.status, answer.code) == (409, "delivery_running")


def test_another_tenants_deliveries_are_not_there(other_tenant, make_endpoint, tell, delivery):
    found = delivery(tell(make_endpoint()["id"]))
    foreign = other_tenant.owner
    assert foreign.get("/webhooks/deliveries").json["items"] == []
    assert foreign.get(f"/webhooks/deliveries/{found['id']}").status == 404
    assert foreign.post(f"/webhooks/deliveries/{found['id']}/redeliver").status == 404
    theirs = foreign.get(f"/webhooks/deliveries?endpointId={found['endpointId']}")
    assert theirs.json["items"] == []


def test_deliveries_are_listed_in_pages_and_by_what_they_are(tenant, make_endpoint, tell, receiver):
    receiver.says(204, 500, 204)
    made = make_endpoint()
    ids = [tell(made["id"]) for _ in range(3)]
    page = tenant.owner.get("/webhooks/deliveries?limit=2").json
    rest = tenant.owner.get(f"/webhooks/deliveries?limit=2&cursor={page['nextCursor']}").json
    assert [d["eventId"] for d in page["items"] + rest["items"]] == ids[::-1]
    assert statuses(tenant, status="dead") == ["dead"]
    assert statuses(tenant, eventType="webhook.tested", status="delivered") == ["delivered"] * 2
    assert statuses(tenant, eventType="member.joined") == []
    assert tenant.owner.get("/webhooks/deliveries?status=lost").status == 422


def test_a_disabled_endpoint_misses_events_and_is_offered_them(
    tenant, receiver, make_endpoint, run_tasks
):
    made = make_endpoint(events=MEMBERS)
    run_tasks()
    path = f"{PATH}/{made['id']}"
    receiver.requests.clear()
    off = tenant.owner.patch(path, {"enabled": False}).json
    assert (off["enabled"], off["disabledReason"], bool(off["heldSince"])) == (
        False,
        "by_hand",
        True,
    )
    for _ in range(3):
        tenant.member()
    run_tasks()
    assert receiver.requests == []
    assert replay(tenant, made).code == "endpoint_disabled"
    on = tenant.owner.patch(path, {"enabled": True}).json
    assert (on["enabled"], on["heldSince"]) == (True, off["heldSince"])
    answer = replay(tenant, made, since=on["heldSince"], status="missed")
    assert (answer.status, answer.json) == (202, {"queued": 3})
    run_tasks()
    assert len(receiver.requests) == 3
    assert tenant.owner.get(path).json["heldSince"] is None


def test_a_replay_takes_what_is_asked_for(tenant, receiver, make_endpoint, run_tasks):
    made = make_endpoint(events=["member.*", "webhook.*"])
    run_tasks()
    began = rfc3339(utcnow())
    receiver.requests.clear()
    receiver.says(204, 500)
    for _ in range(2):
        tenant.member()
        run_tasks()
    receiver.says(204)
    assert replay(tenant, made, since=began, status="dead").json["queued"] == 1
    assert replay(tenant, made, since=began, types=["webhook.*"]).json["queued"] == 0
    assert replay(tenant, made, since=began, until=began).json["queued"] == 0
    run_tasks()
    assert replay(tenant, made, since=began, status="missed").json["queued"] == 0
    assert replay(tenant, made, since=began, status="delivered").json["queued"] == 2
    run_tasks()
    assert len({r.headers["Webhook-Id"] for r in receiver.requests}) == 2
    assert len(receiver.requests) == 2 + 1 + 2


def test_a_replay_of_too_much_is_refused_whole(
    app, tenant, receiver, make_endpoint, run_tasks, monkeypatch
):
    monkeypatch.setattr("treenail.deliveries.replays.MOST", 2)
    made = make_endpoint(events=MEMBERS)
    tenant.owner.patch(f"{PATH}/{made['id']}", {"enabled": False})
    for _ in range(3):
        tenant.member()
    run_tasks()
    since = tenant.owner.patch(f"{PATH}/{made['id']}", {"enabled": True}).json["heldSince"]
    answer = replay(tenant, made, since=since)
    assert (answer.status, answer.code) == (409, "too_many_events")
    run_tasks()
    assert receiver.requests == []
    assert tenant.owner.get(f"{PATH}/{made['id']}").json["heldSince"] == since


def test_an_endpoint_in_order_waits_for_the_one_before(tenant, receiver, make_endpoint, run_tasks):
    made = make_endpoint(events=MEMBERS, fifo=True, schedule=[0, 0])
    run_tasks()
    receiver.requests.clear()
    receiver.says(500, 500, 204)
    for _ in range(3):
        tenant.member()
    run_tasks()
    ids = [r.headers["Webhook-Id"] for r in receiver.requests]
    assert ids == [*[min(ids)] * 3, *sorted({*ids} - {min(ids)})]
    assert len(ids) == 5
    assert tenant.owner.get(f"{PATH}/{made['id']}").json["fifo"] is True


def test_what_is_not_fanned_out_yet_is_not_told_twice(tenant, receiver, make_endpoint, run_tasks):
    made = make_endpoint(events=MEMBERS)
    run_tasks()
    receiver.requests.clear()
    tenant.member()
    assert replay(tenant, made, since=rfc3339(utcnow() - timedelta(0, 5))).json["queued"] <= 1
    run_tasks()
    ids = [r.headers["Webhook-Id"] for r in receiver.requests]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    "order", [{"since": "today"}, {"since": None}, {"status": "lost"}, {"x": 1}]
)
def test_a_bad_order_changes_nothing(tenant, make_endpoint, order):
    assert replay(tenant, make_endpoint(), **order).status == 422


def verifies(secret, request) -> bool:
    try:
        Webhook(secret).verify(request.body, {k.lower(): v for k, v in request.headers.items()})
    except WebhookVerificationError:
        return False
    return True


def test_both_secrets_are_valid_for_a_day(tenant, receiver, make_endpoint, tell):
    made = make_endpoint()
    rotated = tenant.owner.post(f"{PATH}/{made['id']}/rotate-secret").json
    secrets = made["secret"], rotated["secret"]
    assert rotated["secret"] != made["secret"]
    until = datetime.fromisoformat(rotated["oldSecretUntil"])
    assert abs(until - utcnow() - timedelta(days=1)) < timedelta(minutes=1)
    tell(made["id"])
    (request,) = receiver.requests
    hub = signing.hub(made["secret"], request.body)
    assert request.headers["X-Hub-Signature-256"] == hub
    assert [verifies(secret, request) for secret in (made["secret"], rotated["secret"])] == [
        True
    ] * 2
    with time_machine.travel(until + timedelta(seconds=1)):
        tell(made["id"])
        request = receiver.requests[-1]
        found = [verifies(secret, request) for secret in secrets]
    assert found == [False, True]


def test_a_deleted_tenant_leaves_nothing(app, tenant, make_endpoint, tell):
    made = make_endpoint()
    tell(made["id"])
    assert tenant.owner.delete(f"/tenants/{tenant.id}").status == 204
    with app.app_context(), system_session("test") as session:
        rows = session.scalars(select(DeliveryRow.id).where(DeliveryRow.target == made["id"]))
        assert rows.all() == []
