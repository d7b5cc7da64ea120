"""Who may register: everybody, the invited, nobody."""

import pytest
from treenail.app import create_app
from treenail.errors import ConfigurationError
from treenail.ids import uuid7
from treenail.plugin import Plugin, hookimpl


class Inviting(Plugin):
    """Invites whoever has the word."""

    name, version, optional = "inviting", "1.0", ("auth",)

    @hookimpl(optionalhook=True)
    def is_invited(self, token, email):
        if token == "broken":
            raise RuntimeError(token)
        return email in token or None


@pytest.fixture(scope="module")
def plugins():
    return {"inviting": Inviting}


@pytest.fixture(scope="module", params=["invitation", "closed"])
def mode(request):
    return request.param


@pytest.fixture(scope="module")
def environ(mode):
    return {
        "TREENAIL_PLUGINS": "auth,inviting",
        "TREENAIL_AUTH_BCRYPT_ROUNDS": "4",
        "TREENAIL_RATE_LIMITS": "off",
        "TREENAIL_AUTH_REGISTRATION": mode,
    }


def register(client, email, **more):
    body = {"email": email, "password": "a new oak beam", "name": "Ann Oak"}
    return client.post("/auth/register", body | more)


def test_only_the_invited_register(client, mode):
    email = f"{uuid7()}@example.com"
    refused = {"invitation": "invitation_required", "closed": "registration_closed"}[mode]
    for more in ({}, {"invitationToken": "for eve@example.com"}, {"invitationToken": "broken"}):
        answer = register(client, email, **more)
        assert (answer.status, answer.code) == (403, refused)
    answer = register(client, email, invitationToken=f"for {email}")
    assert answer.status == (201 if mode == "invitation" else 403)


def test_the_answer_says_nothing_about_accounts(client, mode):
    email = f"{uuid7()}@example.com"
    register(client, email, invitationToken=f"for {email}")
    known, unknown = register(client, email), register(client, f"{uuid7()}@example.com")
    assert known.json | {"requestId": ""} == unknown.json | {"requestId": ""}


def start(tmp_path, mode):
    settings = {"TREENAIL_DATA": str(tmp_path), "TREENAIL_AUTH_REGISTRATION": mode}
    return create_app(settings | {"TREENAIL_PLUGINS": "auth"}, check_database=False)


def test_invitations_need_a_plugin_that_knows_them(tmp_path):
    with pytest.raises(ConfigurationError, match="TREENAIL_AUTH_REGISTRATION: no enabled plugin"):
        start(tmp_path, "invitation")


def test_other_words_stop_the_start(tmp_path):
    with pytest.raises(ConfigurationError, match="TREENAIL_AUTH_REGISTRATION"):
        start(tmp_path, "maybe")
