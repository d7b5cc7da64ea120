"""V3: what a browser is told."""

from __future__ import annotations

import pytest
from treenail.testing import Client
from treenail_auth.testing import register

PAGE = "https://app.example.com"


@pytest.fixture(scope="module")
def environ(environ: dict[str, str]) -> dict[str, str]:
    return {**environ, "TREENAIL_CORS_ORIGINS": PAGE}


@pytest.fixture
def answers(client: Client, tenant, operations, furnish):
    """What everybody is answered everywhere, over TLS; and nowhere."""
    ids = furnish(tenant)
    asked = [(op.method, op.at(ids)) for op in operations if op.method != "DELETE"]
    asked += [("GET", "/nowhere"), ("PATCH", "//healthz"), ("GET", "//")]
    return [
        caller.call(method, path, base_url="https://localhost", headers={"Origin": origin})
        for method, path in asked
        for caller, origin in ((client, PAGE), (tenant.owner, "https://evil.example"))
    ]


def test_v3_3_1_and_v3_3_2_and_v3_3_4_there_are_no_cookies(client, answers):
    ann = register(client)
    session = ann.session()
    answers += [ann.log_in(), session.refresh(), session.call("GET", "/me")]
    assert not [a for a in answers if "Set-Cookie" in a.headers]


def test_v3_4_1_browsers_stay_on_tls_for_a_year_with_subdomains(answers):
    assert {a.headers["Strict-Transport-Security"] for a in answers} == {
        "max-age=31536000; includeSubDomains"
    }


def test_v3_4_2_only_named_origins_read(answers):
    for answer in answers:
        asked = answer.response.request.headers["Origin"]
        allowed = PAGE if asked == PAGE else None
        assert answer.headers.get("Access-Control-Allow-Origin") == allowed
        assert "Access-Control-Allow-Credentials" not in answer.headers


def test_v3_4_4_no_content_type_is_guessed(answers):
    assert {a.headers["X-Content-Type-Options"] for a in answers} == {"nosniff"}


def test_v3_4_6_nothing_is_framed(answers):
    policies = {a.headers["Content-Security-Policy"] for a in answers}
    assert all("frame-ancestors 'none'" in policy for policy in policies)


def test_v3_5_1_what_a_browser_sends_by_itself_proves_nothing(client, ann):
    token = ann.session().access
    for cookie in ("access_token", "access_token_cookie", "session", "token"):
        answer = client.post("/tenants", {"name": "x"}, headers={"Cookie": f"{cookie}={token}"})
        assert answer.status == 401


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_v3_5_2_a_form_can_send_nothing(tenant, stored, kind):
    before = stored()
    headers = {"Content-Type": kind}
    answer = tenant.owner.post("/workspaces", data=b'{"name": "x"}', headers=headers)
    assert answer.status == 415
    assert stored() == before


def test_v3_5_3_reading_changes_nothing(tenant, furnish, operations, stored):
    ids = furnish(tenant)
    before = stored()
    for operation in operations:
        # Looking into the record seals it first, and is itself recorded.
        if operation.method == "GET" and not operation.path.startswith("/api/v1/audit"):
            assert tenant.owner.get(operation.at(ids)).status < 500
    assert stored() == before
