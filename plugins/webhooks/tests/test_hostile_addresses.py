"""What no request may go to, however it is written: refused when it is saved."""

from pathlib import Path

import pytest

TABLE = (Path(__file__).parent / "hostile.txt").read_text().splitlines()
SPACED = ["http://exa mple.com/", "http://example.com/\r\nX-A:1", "http://example.com/\t", " ", ""]
HOSTILE = [line for line in TABLE if line and not line.startswith("# ")] + SPACED


@pytest.fixture(scope="module")
def environ():
    """Nothing private is allowed."""
    return {"TREENAIL_PLUGINS": "webhooks", "TREENAIL_RATE_LIMITS": "off"}


def test_hostile_addresses_are_refused_when_they_are_saved(tenant):
    answers = {}
    for url in HOSTILE:
        answer = tenant.owner.post("/webhooks/endpoints", {"url": url, "events": ["*"]})
        answers[url] = (answer.status, [*answer.json.get("errors", ())])
    assert len(answers) > 90
    assert {url: said for url, said in answers.items() if said != (422, ["url"])} == {}
    assert tenant.owner.get("/webhooks/endpoints").json["items"] == []


@pytest.mark.parametrize(
    "url",
    ["https://hooks.example.com/a?b=c", "http://93.184.216.34:8080/", "https://[2606:4700::1111]/",
     "https://xn--bcher-kva.example/", "https://1e100.example/"],
)  # fmt: skip
def test_a_public_address_is_taken(tenant, url):
    answer = tenant.owner.post("/webhooks/endpoints", {"url": url, "events": ["*"]})
    assert (answer.status, answer.json["url"]) == (201, url)


def test_an_endpoint_is_not_moved_to_a_hostile_address(tenant):
    body = {"url": "https://93.184.216.34/", "events": ["*"]}
    made = tenant.owner.post("/webhooks/endpoints", body).json
    path = f"/webhooks/endpoints/{made['id']}"
    assert tenant.owner.patch(path, {"url": "http://169.254.169.254/"}).status == 422
    assert tenant.owner.get(path).json["url"] == body["url"]
