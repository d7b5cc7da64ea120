"""What a receiver answers, and what comes of it."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import time_machine
from sqlalchemy import select
from treenail.clock import utcnow
from treenail.contributions import Delivery
from treenail.db import system_session, tenant_session
from treenail.deliveries import DeliveryRow
from treenail.events import OutboxEvent
from treenail_webhooks import sender
from treenail_webhooks.models import Attempt, Endpoint
from treenail_webhooks.sender import wait_of

PATH = "/webhooks/endpoints"


def seconds_until(moment: str) -> float:
    return (datetime.fromisoformat(moment) - utcnow()).total_seconds()


def test_a_failed_try_is_repeated_with_the_same_id(receiver, make_endpoint, tell, delivery):
    receiver.says(500, 302, 200)
    event_id = tell(make_endpoint(schedule=[0, 0, 0])["id"])
    assert [r.headers["Webhook-Id"] for r in receiver.requests] == [event_id] * 3
    assert len({r.body for r in receiver.requests}) == 1
    found = delivery(event_id)
    assert (found["status"], [a["status"] for a in found["attempts"]]) == (
        "delivered",
        [500, 302, 200],
    )
    assert [a["number"] for a in found["attempts"]] == [1, 2, 3]


def test_a_delivery_that_never_succeeds_is_a_dead_letter(tenant, receiver, make_endpoint, tell):
    receiver.says(500)
    made = make_endpoint(schedule=[0])
    event_id = tell(made["id"])
    (dead,) = tenant.owner.get("/webhooks/dead-letters").json["items"]
    assert (dead["eventId"], dead["status"], dead["attemptCount"]) == (event_id, "dead", 2)
    assert "answered 500" in dead["lastError"]
    assert tenant.owner.get(f"/webhooks/dead-letters?endpointId={made['id']}").json["items"]


def test_the_first_retry_waits_five_seconds_give_or_take(receiver, make_endpoint, tell, delivery):
    receiver.says(500)
    waits = []
    for _ in range(5):
        found = delivery(tell(make_endpoint(schedule=[5, 60])["id"]))
        assert found["status"] == "pending"
        waits.append(seconds_until(found["nextAttemptAt"]))
    assert 3.5 < min(waits) < max(waits) < 6.05
    assert max(waits) - min(waits) > 0.01


@pytest.mark.parametrize(
    ("said", "wait"), [("120", 120), ("999999", 3600), ("1", 4), ("soon", 4), ("-1", 4)]
)
def test_retry_after_puts_the_next_try_off(receiver, make_endpoint, tell, delivery, said, wait):
    receiver.says(503, Retry_After=said)
    found = delivery(tell(make_endpoint(schedule=[5])["id"]))
    assert wait - 1 < seconds_until(found["nextAttemptAt"]) < max(wait, 6) + 1


def test_retry_after_may_be_a_date():
    moment = datetime.now(UTC) + timedelta(seconds=100)
    assert 90 < (wait_of(format_datetime(moment, usegmt=True)) or 0) < 101
    assert wait_of(format_datetime(moment - timedelta(days=1), usegmt=True)) is None
    assert wait_of("Thu, 99 Foo 2026") is None


def test_a_receiver_that_is_gone_is_asked_no_more(
    tenant, receiver, make_endpoint, tell, captured_events
):
    receiver.says(410)
    made = make_endpoint(schedule=[0, 0])
    tell(made["id"])
    assert len(receiver.requests) == 1
    shown = tenant.owner.get(f"{PATH}/{made['id']}").json
    assert (shown["enabled"], shown["disabledReason"]) == (False, "gone")
    (event,) = [e for e in captured_events("webhook.disabled") if e.subject == made["id"]]
    assert event.data["reason"] == "gone"
    answer = tenant.owner.post(f"{PATH}/{made['id']}/test")
    assert (answer.status, answer.code) == (409, "endpoint_disabled")


def test_five_days_without_a_success_disable(tenant, receiver, make_endpoint, tell):
    receiver.says(500)
    made = make_endpoint()
    tell(made["id"])
    with time_machine.travel(utcnow() + timedelta(days=5) - timedelta(minutes=1)):
        tell(made["id"])
        assert tenant.owner.get(f"{PATH}/{made['id']}").json["enabled"] is True
    with time_machine.travel(utcnow() + timedelta(days=5, minutes=1)):
        tell(made["id"])
    shown = tenant.owner.get(f"{PATH}/{made['id']}").json
    assert (shown["enabled"], shown["disabledReason"]) == (False, "failing")
    assert seconds_until(shown["heldSince"]) > -60


def test_a_success_begins_the_five_days_anew(tenant, receiver, make_endpoint, tell):
    receiver.says(500, 200, 500)
    made = make_endpoint()
    tell(made["id"])
    tell(made["id"])
    with time_machine.travel(utcnow() + timedelta(days=6)):
        tell(made["id"])
    assert tenant.owner.get(f"{PATH}/{made['id']}").json["enabled"] is True


def test_an_unreachable_receiver_has_a_word_for_it(make_endpoint, tell, delivery, receiver):
    made = make_endpoint()
    receiver.__exit__()
    found = delivery(tell(made["id"]))
    (attempt,) = found["attempts"]
    assert (attempt["status"], attempt["error"]) == (None, "refused")


def test_what_a_private_receiver_says_is_not_told(receiver, make_endpoint, tell, delivery):
    receiver.says(500, body=b"root:x:0:0")
    (attempt,) = delivery(tell(make_endpoint()["id"]))["attempts"]
    assert (attempt["status"], attempt["responseHead"]) == (500, None)


def test_the_head_of_an_answer_is_kept_sealed(app, receiver, make_endpoint, tell, delivery):
    """As of a public receiver, of which tests have none."""
    with app.app_context():
        guard = sender.tools().guard
    opened, check = guard.is_opened, guard.check
    guard.is_opened, guard.check = lambda address: False, lambda address: None
    try:
        receiver.says(400, body="no such oak\0 ü".encode() + b"\xff")
        found = delivery(tell(make_endpoint()["id"]))
    finally:
        guard.is_opened, guard.check = opened, check
    (attempt,) = found["attempts"]
    assert attempt["responseHead"] == "no such oak\0 ü\ufffd"
    with app.app_context(), system_session("test") as session:
        rows = session.execute(select(Attempt.__table__).where(Attempt.id == attempt["id"]))
        assert b"oak" not in rows.one().response_sealed


def test_the_attempt_is_on_record_before_the_request_goes_out(
    app, receiver, make_endpoint, tell, delivery
):
    seen = []

    def look(handler):
        with app.app_context(), system_session("test", read_only=True) as session:
            own = Attempt.endpoint_id == made["id"]
            seen.extend(session.execute(select(Attempt.number, Attempt.finished_at).where(own)))
        handler.wfile.write(b"HTTP/1.1 204 No\r\n\r\n")

    made = make_endpoint()
    receiver.answers = [look]
    assert delivery(tell(made["id"]))["status"] == "delivered"
    assert [tuple(row) for row in seen] == [(1, None)]


def test_an_attempt_whose_worker_died_was_interrupted(app, tenant, make_endpoint, tell, delivery):
    made = make_endpoint()
    event_id = tell(made["id"])
    found = delivery(event_id)
    with app.app_context(), tenant_session(tenant.id) as session:
        lost = Attempt(endpoint_id=made["id"], delivery_id=found["id"], number=1)
        session.add(lost)
    attempts = delivery(event_id)["attempts"]
    assert [a["error"] for a in attempts] == [None, "interrupted"]


def test_a_removed_endpoint_takes_its_deliveries_along(app, tenant, make_endpoint, tell, receiver):
    receiver.says(500)
    made = make_endpoint(schedule=[60])
    tell(made["id"])
    assert tenant.owner.delete(f"{PATH}/{made['id']}").status == 204
    with app.app_context(), system_session("test") as session:
        to_it = select(DeliveryRow.id).where(DeliveryRow.target == made["id"])
        assert session.scalars(to_it).all() == []
        assert session.scalars(select(Attempt.id).where(Attempt.tenant_id == tenant.id)).all() == []
    assert tenant.owner.get("/webhooks/deliveries").json["items"] == []


def test_an_endpoint_removed_during_the_request_breaks_nothing(
    app, tenant, make_endpoint, receiver, run_tasks
):
    def remove(handler):
        handler.wfile.write(b"HTTP/1.1 204 No\r\n\r\n")
        with app.app_context(), tenant_session(tenant.id) as session:
            session.delete(session.get_one(Endpoint, made["id"]))

    made = make_endpoint()
    receiver.answers = [remove]
    tenant.owner.post(f"{PATH}/{made['id']}/test")
    run_tasks()
    assert len(receiver.requests) == 1


def test_events_nobody_wants_make_no_delivery(app, tenant, make_endpoint, run_tasks):
    make_endpoint(events=["webhook.disabled"])
    tenant.member()
    run_tasks()
    with app.app_context(), system_session("test") as session:
        own = select(DeliveryRow.id).join(OutboxEvent).where(OutboxEvent.tenant_id == tenant.id)
        assert session.scalars(own).all() == []


def test_two_endpoints_each_get_what_they_want(receiver, make_endpoint, tenant, run_tasks):
    make_endpoint("/members", events=["member.*"])
    make_endpoint("/all", events=["*"])
    make_endpoint("/none", events=["tenant.deleted"])
    run_tasks()
    receiver.requests.clear()
    tenant.member()
    run_tasks()
    assert sorted(r.path for r in receiver.requests) == ["/all", "/members"]


def test_a_lost_handler_leaves_its_attempt(app, tenant, receiver, make_endpoint, run_tasks):
    made = make_endpoint()
    tenant.owner.post(f"{PATH}/{made['id']}/test")
    run_tasks()
    with app.app_context(), system_session("test") as session:
        row = session.scalars(select(DeliveryRow).where(DeliveryRow.target == made["id"])).one()
        event = session.get_one(OutboxEvent, row.event_id).event()
    with app.app_context():
        sender.deliver(Delivery(row.id, event, made["id"], 2))  # a double, after a crash
    assert {r.headers["Webhook-Id"] for r in receiver.requests} == {event.id}
    attempts = tenant.owner.get(f"/webhooks/deliveries/{row.id}").json["attempts"]
    assert [a["number"] for a in attempts] == [1, 2]
