"""Step-up: sensitive acts need a proof of who one is that is ten minutes old at most."""

import pytest

SENSITIVE = [
    ("PATCH", "/me", {"password": "a new oak beam", "currentPassword": "correct horse battery"}),
    ("PATCH", "/me", {"email": "somewhere@example.com"}),
    ("POST", "/me/totp", None),
    ("POST", "/me/totp/confirm", {"code": "123456"}),
    ("DELETE", "/me/totp", None),
]


@pytest.mark.parametrize(("method", "path", "body"), SENSITIVE)
def test_sensitive_acts_need_a_fresh_session(ann, method, path, body, after):
    session = ann.session()
    with after(minutes=10, seconds=1):
        answer = session.call(method, path, body)
    assert (answer.status, answer.code) == (403, "reauthentication_required")


def test_a_log_in_counts_for_ten_minutes(ann, after):
    session = ann.session()
    with after(minutes=9, seconds=50):
        assert session.call("POST", "/me/totp").status == 200


def test_the_password_makes_a_session_fresh_again(ann, after):
    here, there = ann.session(), ann.session()
    with after(minutes=11):
        assert here.reauthenticate(password=ann.password).status == 204
        assert here.call("POST", "/me/totp").status == 200
        assert there.call("POST", "/me/totp").code == "reauthentication_required"
    with after(minutes=14):  # the access token still lives
        assert here.call("POST", "/me/totp").status == 200


def test_a_code_makes_a_session_fresh_again(ann, after):
    session = ann.session()
    authenticator = session.enrol()
    with after(minutes=11):
        assert session.reauthenticate(code=authenticator.code()).status == 204
        assert session.call("DELETE", "/me/totp").status == 204


def test_a_refresh_does_not_make_it_fresh(ann, after):
    session = ann.session()
    with after(minutes=11):
        session.access = session.refresh().json["accessToken"]
        assert session.call("POST", "/me/totp").code == "reauthentication_required"


@pytest.mark.parametrize("proof", [{"password": "wrong password"}, {"code": "123456"}])
def test_a_wrong_proof_is_refused(ann, proof, after):
    session = ann.session()
    with after(minutes=11):
        assert session.reauthenticate(**proof).code == "invalid_credentials"
        assert session.call("POST", "/me/totp").code == "reauthentication_required"


@pytest.mark.parametrize("proof", [{}, {"password": "x", "code": "y"}])
def test_exactly_one_proof_is_given(ann, proof):
    assert ann.session().reauthenticate(**proof).status == 422


def test_nobody_reauthenticates(client):
    assert client.post("/auth/reauthenticate", {"password": "x"}).status == 401


def test_a_session_that_another_plugin_started_is_not_auths_to_renew(tenant):
    answer = tenant.owner.post("/auth/reauthenticate", {"password": "x"})
    assert (answer.status, answer.code) == (409, "session_of_another")
