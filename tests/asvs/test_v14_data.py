"""V14: data protection; V15.3: what goes in and out."""

from __future__ import annotations

import pytest
from treenail.app import create_app
from treenail.db import db
from treenail.testing import Client
from treenail_auth.testing import register


def test_v14_2_1_a_token_in_an_address_is_no_token(client, ann):
    token = ann.session().access
    for name in ("token", "access_token", "jwt", "Authorization"):
        assert client.get(f"/me?{name}={token}").status == 401


def test_v14_3_2_no_answer_is_kept_in_a_cache(tenant, furnish, operations):
    ids = furnish(tenant)
    for operation in operations:
        if operation.method == "GET" and not operation.is_public:
            headers = tenant.owner.get(operation.at(ids)).headers
            assert headers["Cache-Control"] == "no-store", operation.path


SECRETS = {"hash", "password", "secret", "secretSealed", "counter", "token", "emailKey"}
EXAMPLES = {"/api/v1/openapi.json", "/api/v1/event-types"}


def test_v15_3_1_answers_hold_what_their_schema_names(client, tenant, furnish, operations):
    ids = furnish(tenant)
    for operation in operations:
        if operation.method != "GET" or operation.path in EXAMPLES:
            continue
        answer = tenant.owner.get(operation.at(ids))
        if answer.status == 200 and answer.response.is_json:
            found = keys(answer.json)
            of_the_chain = {"hash"} if operation.path == "/api/v1/audit" else set()
            assert not found & SECRETS - of_the_chain, operation.path
            assert not [key for key in found if key.endswith(("_sealed", "_hash", "_key"))]


def keys(document) -> set[str]:
    if isinstance(document, dict):
        return set(document).union(*(keys(value) for value in document.values()))
    return set().union(*map(keys, document)) if isinstance(document, list) else set()


@pytest.fixture
def behind_proxy(deployment):
    """The deployment behind one trusted proxy."""
    app = create_app({**deployment, "TREENAIL_TRUSTED_PROXIES": "10.0.0.1"})
    yield Client(app)
    with app.app_context():
        db.engine.dispose()


@pytest.mark.parametrize(
    ("peer", "said", "seen"),
    [
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "127.0.0.1, 198.51.100.7", "198.51.100.7"),  # the client made the first up
        ("203.0.113.9", "198.51.100.7", "203.0.113.9"),  # nobody's proxy
    ],
)
def test_v15_3_4_an_address_comes_from_trusted_proxies_alone(behind_proxy, peer, said, seen):
    person = register(behind_proxy)
    headers, overrides = {"X-Forwarded-For": said}, {"REMOTE_ADDR": peer}
    answer = person.log_in(headers=headers, environ_overrides=overrides).json
    bearer = {"Authorization": f"Bearer {answer['accessToken']}"}
    [session] = behind_proxy.get("/me/sessions", headers=bearer).json["items"]
    assert session["ip"] == seen
