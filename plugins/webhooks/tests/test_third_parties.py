"""What we send, checked by code of parties who didn't write it."""

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from treenail_webhooks import signing


def headers_of(request) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}


@pytest.fixture
def sent(tenant, receiver, make_endpoint, tell):
    """A test event as it came, and the endpoint's secret."""
    made = make_endpoint()
    tell(made["id"])
    return receiver.requests[0], made["secret"]


def test_standard_webhooks_own_library_takes_the_signature(sent):
    request, secret = sent
    assert Webhook(secret).verify(request.body, headers_of(request))["specversion"] == "1.0"
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(request.body + b" ", headers_of(request))
    with pytest.raises(WebhookVerificationError):
        Webhook(signing.new_secret()).verify(request.body, headers_of(request))


def test_the_cloudevents_sdk_reads_the_event(sent, tenant):
    request, _ = sent
    event = from_http_event(HTTPMessage(dict(request.headers), request.body))
    assert (event.get_type(), event.get_specversion()) == ("webhook.tested", "1.0")
    assert event.get_source().endswith(f"/tenants/{tenant.id}")
    assert event.get_id() == request.headers["Webhook-Id"]
    assert event.get_time().utcoffset().total_seconds() == 0
    assert event.get_data()["host"] == "127.0.0.1"
    assert event.get_extension("dataversion") == 1


def test_the_published_vector_of_standard_webhooks():
    """Of its specification's test suite."""
    body, secret = b'{"test": 2432232314}', "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    made = signing.headers([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert made["Webhook-Signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_published_vector_of_github():
    """Of its documentation, "Validating webhook deliveries"."""
    made = signing.hub("It's a Secret to Everybody", b"Hello, World!")
    assert made == "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
