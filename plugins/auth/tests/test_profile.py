"""Changing one's own name, password and e-mail."""

import pytest
from treenail.ids import uuid7

NEW = "a new oak beam"


@pytest.fixture
def address():
    return f"{uuid7()}@example.com"


def confirm(client, token):
    return client.post("/auth/confirm-email", {"token": token})


def test_a_name_changes_at_once(ann, after):
    session = ann.session()
    with after(minutes=11):  # no fresh proof needed
        answer = session.patch(name="Ann Elm")
        assert answer.status == 200
        assert answer.json == session.call("GET", "/me").json
    assert answer.json["user"]["name"] == "Ann Elm"


def test_nothing_asked_changes_nothing(ann):
    session = ann.session()
    assert session.patch().json["user"] == session.me


def test_a_password_changes_with_the_current_one(ann, mailbox, captured_events):
    here, there = ann.session(), ann.session()
    assert here.patch(password=NEW, currentPassword=ann.password).status == 200
    assert (here.is_alive, there.is_alive) == (True, False)
    assert (ann.log_in().status, ann.log_in(NEW).status) == (401, 200)
    assert "was changed" in mailbox(ann.email)[-1]
    assert len(captured_events("user.password_changed")) == 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"password": NEW}, "currentPassword"),
        ({"password": NEW, "currentPassword": "wrong"}, "currentPassword"),
        ({"password": "password1", "currentPassword": "correct horse battery"}, "password"),
        ({"name": " "}, "name"),
        ({"email": "no address"}, "email"),
        ({"role": "owner"}, "role"),
    ],
)
def test_bad_changes_are_refused_whole(ann, changes, field):
    session = ann.session()
    answer = session.patch(**{"name": "Ann Elm", **changes})
    assert (answer.status, list(answer.json["errors"])) == (422, [field])
    assert session.me["name"] == "Ann Oak"
    assert ann.log_in().status == 200


def test_a_new_address_counts_once_it_is_confirmed(
    client, ann, address, mailbox, mailed_token, captured_events
):
    session = ann.session()
    assert session.patch(email=address).json["user"]["email"] == ann.email
    assert address in mailbox(ann.email)[-1]
    token = mailed_token(address, "confirm-email")
    assert confirm(client, token).status == 204
    assert (session.me["email"], session.me["emailVerified"]) == (address, True)
    assert ann.log_in().status == 401
    ann.email = address
    assert ann.log_in().status == 200
    assert len(captured_events("user.email_changed")) == 1
    assert confirm(client, token).code == "bad_token"


def test_a_taken_address_answers_the_same_and_its_owner_is_told(ann, bob, address, mailbox):
    session = ann.session()
    free, taken = session.patch(email=address), session.patch(email=bob.email.upper())
    assert (free.status, free.json) == (taken.status, taken.json) == (200, {"user": session.me})
    assert "already" in mailbox(bob.email)[-1]
    assert "confirm-email" not in "".join(mailbox(bob.email))


def test_an_address_taken_meanwhile_is_a_conflict(client, ann, address, mailed_token):
    session = ann.session()
    session.patch(email=address)
    client.post("/auth/register", {"email": address, "password": NEW, "name": "Eve"})
    assert confirm(client, mailed_token(address, "confirm-email")).code == "email_taken"
    assert session.me["email"] == ann.email


def test_tokens_in_the_old_mailbox_are_worthless_after(client, ann, address, mailed_token, after):
    client.post("/auth/password/forgot", {"email": ann.email})
    old = mailed_token(ann.email, "reset-password")
    ann.session().patch(email=address)
    confirm(client, mailed_token(address, "confirm-email"))
    body = {"token": old, "password": NEW}
    assert client.post("/auth/password/reset", body).code == "bad_token"


def test_ones_own_address_again_brings_another_link_until_it_is_verified(
    client, ann, mailed_token, mailbox
):
    lost = mailed_token(ann.email, "verify-email")
    assert ann.session().patch(email=ann.email).status == 200
    newest = mailed_token(ann.email, "verify-email")
    assert client.post("/auth/verify-email", {"token": lost}).code == "bad_token"
    assert client.post("/auth/verify-email", {"token": newest}).status == 204
    before = mailbox(ann.email)
    assert ann.session().patch(email=ann.email).status == 200
    assert mailbox(ann.email) == before


def test_ones_own_address_may_be_spelt_otherwise(client, ann, mailed_token):
    session, spelt = ann.session(), ann.email.upper().replace("EXAMPLE.COM", "example.com")
    session.patch(email=spelt)
    assert confirm(client, mailed_token(spelt, "confirm-email")).status == 204
    assert session.me["email"] == spelt
