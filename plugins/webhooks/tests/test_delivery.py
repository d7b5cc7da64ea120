"""An event reaches its endpoint, signed."""

import hmac
import json
from hashlib import sha256


def test_an_event_arrives_as_a_signed_cloudevent(tenant, receiver, make_endpoint, tell):
    made = make_endpoint("/in?x=1", headers={"X-Mine": "yes"})
    event_id = tell(made["id"])
    (request,) = receiver.requests
    assert (request.method, request.path, request.headers["X-Mine"]) == ("POST", "/in?x=1", "yes")
    assert request.headers["Content-Type"].startswith("application/cloudevents+json")
    event = json.loads(request.body)
    assert (event["specversion"], event["type"], event["id"]) == ("1.0", "webhook.tested", event_id)
    assert event["data"] == {"endpointId": made["id"], "host": "127.0.0.1"}
    assert request.headers["Webhook-Id"] == event_id
    expected = hmac.new(made["secret"].encode(), request.body, sha256).hexdigest()
    assert request.headers["X-Hub-Signature-256"] == f"sha256={expected}"


def test_a_delivery_tells_its_attempt(receiver, make_endpoint, tell, delivery):
    found = delivery(tell(make_endpoint()["id"]))
    assert (found["status"], found["attemptCount"]) == ("delivered", 1)
    (attempt,) = found["attempts"]
    assert (attempt["number"], attempt["status"], attempt["error"]) == (1, 204, None)
    assert attempt["durationMs"] >= 0
    assert attempt["finishedAt"]
    assert found["event"]["type"] == "webhook.tested"


def test_a_test_goes_to_the_endpoint_it_is_for_and_to_no_other(receiver, make_endpoint, tell):
    made = make_endpoint("/mine", events=["tenant.deleted"])
    make_endpoint("/others", events=["webhook.tested", "*"])
    event_id = tell(made["id"])
    told = [r.path for r in receiver.requests if r.headers["Webhook-Id"] == event_id]
    assert told == ["/mine"]
