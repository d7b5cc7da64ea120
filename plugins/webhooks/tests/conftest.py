"""webhooks alone, and a receiver that is really there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from receiver import Receiver

Endpoint = dict[str, Any]


@pytest.fixture(scope="module")
def environ() -> dict[str, str]:
    """webhooks without rbac, allowed to call this machine."""
    return {
        "TREENAIL_PLUGINS": "webhooks",
        "TREENAIL_WEBHOOKS_ALLOW_CIDRS": "127.0.0.0/8",
        "TREENAIL_WEBHOOKS_DEADLINE_SECONDS": "1",
        "TREENAIL_RATE_LIMITS": "off",
    }


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver on a port of its own; answers 204 unless told otherwise."""
    with Receiver() as running:
        yield running


@pytest.fixture
def make_endpoint(tenant, receiver) -> Callable[..., Endpoint]:
    """An endpoint of the tenant at the receiver."""

    def make(path: str = "/hook", **body: Any) -> Endpoint:
        given = {"url": receiver.url + path, "events": ["webhook.disabled"], "schedule": [], **body}
        answer = tenant.owner.post("/webhooks/endpoints", given)
        assert answer.status == 201, answer.json
        made: Endpoint = answer.json
        return made

    return make


@pytest.fixture
def tell(tenant, run_tasks) -> Callable[[str], str]:
    """Send an endpoint its test event and deliver what is due; returns the event's id."""

    def told(endpoint_id: str) -> str:
        answer = tenant.owner.post(f"/webhooks/endpoints/{endpoint_id}/test")
        assert answer.status == 202, answer.json
        run_tasks()
        return str(answer.json["eventId"])

    return told


@pytest.fixture
def delivery(tenant) -> Callable[[str], dict[str, Any]]:
    """The only delivery of an event, with its attempts."""

    def find(event_id: str) -> dict[str, Any]:
        (found,) = tenant.owner.get(f"/webhooks/deliveries?eventId={event_id}").json["items"]
        whole: dict[str, Any] = tenant.owner.get(f"/webhooks/deliveries/{found['id']}").json
        return whole

    return find


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of hooks.example that vouches for itself, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hooks.example")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("hooks.example")]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    path: Path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(made.public_bytes(Encoding.PEM) + private)
    return path
