"""Measurements: by route template, for those who may see them, without anybody's id."""

import pytest
from prometheus_client.parser import text_string_to_metric_families
from treenail import metrics
from treenail.db import system_session, tenant_session
from treenail.deliveries import DeliveryRow
from treenail.events import OutboxEvent
from treenail.ids import uuid7

TOKEN = "a-token-for-the-scraper"


@pytest.fixture(scope="module")
def environ():
    return {"TREENAIL_PLUGINS": "", "TREENAIL_METRICS_TOKEN": TOKEN}


def read(client, name: str, **labels: str) -> float:
    text = client.get("//metrics").response.get_data(as_text=True)
    samples = (s for family in text_string_to_metric_families(text) for s in family.samples)
    return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())


def test_requests_are_counted_by_the_template_of_their_route(client, tenant):
    labels = {"route": "/api/v1/tenants/<id:tenant_id>", "method": "GET", "status": "200"}
    before = read(client, "treenail_http_requests_total", **labels)
    tenant.owner.get(f"/tenants/{tenant.id}")
    assert read(client, "treenail_http_requests_total", **labels) == before + 1
    del labels["status"]
    assert read(client, "treenail_http_request_seconds_count", **labels) >= before + 1


def test_no_label_holds_what_a_caller_chose(client, tenant):
    client.get(f"/nowhere/{tenant.id}")
    client.call("BREW", "/me")
    text = client.get("//metrics").response.get_data(as_text=True)
    assert tenant.id not in text
    assert "BREW" not in text
    assert read(client, "treenail_http_requests_total", route="unmatched", status="404") >= 1
    assert read(client, "treenail_http_requests_total", method="other", status="405") >= 1


def test_deliveries_are_counted_by_state(app, client, tenant):
    states = ("pending", "running", "dead", "done")
    before = {state: read(client, "treenail_deliveries", status=state) for state in states}
    with app.app_context(), tenant_session(tenant.id) as session:
        event = OutboxEvent(type="x.done", version=1, tenant_id=tenant.id, data={})
        session.add(event)
    with app.app_context(), system_session("test") as session:
        for state in states:
            session.add(DeliveryRow(event_id=event.id, subscription=uuid7(), status=state))
    after = {state: read(client, "treenail_deliveries", status=state) for state in states}
    more = [after[state] - before[state] for state in states]
    assert more == [2, 0, 1, 0]


def test_a_plugin_shows_its_own_and_a_failing_one_hides_nothing(app, client, monkeypatch):
    monkeypatch.setattr(metrics.of(app), "watched", {})
    metrics.watch(app, "treenail_open_sockets", "Open.", "kind", lambda: {"collab": 3})
    metrics.watch(app, "treenail_broken", "Broken.", "kind", lambda: {"x": 1 / 0})
    assert read(client, "treenail_open_sockets", kind="collab") == 3
    assert read(client, "treenail_broken") == 0


@pytest.mark.parametrize(
    ("peer", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("::1", {}, 200),
        ("203.0.113.9", {}, 401),
        ("127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}, 401),
        ("203.0.113.9", {"Authorization": f"Bearer {TOKEN}"}, 200),
        ("203.0.113.9", {"Authorization": "Bearer é"}, 401),
        ("203.0.113.9", {"Authorization": "Bearer "}, 401),
    ],
)
def test_they_are_for_this_machine_or_the_token(client, peer, headers, status):
    encoded = {name: value.encode().decode("latin-1") for name, value in headers.items()}
    peer_is = {"REMOTE_ADDR": peer}
    answer = client.get("//metrics", headers=encoded, environ_overrides=peer_is)
    assert answer.status == status
