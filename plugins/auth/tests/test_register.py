"""Registering."""

import threading
from contextlib import suppress

import bcrypt
import pytest
from sqlalchemy import select
from treenail.db import system_session
from treenail.ids import uuid7
from treenail.models import User
from treenail.tenants import services
from treenail_auth.models import Password


def registration(**changes):
    body = {"email": f"{uuid7()}@example.com", "password": "long enough", "name": "Ann Oak"}
    return body | changes


def test_a_new_person_is_registered_and_can_log_in(client, captured_events):
    body = registration()
    answer = client.post("/auth/register", body)
    assert answer.status == 201
    assert answer.json == {"user": {"email": body["email"], "name": "Ann Oak"}}
    user = client.post("/auth/login", {k: body[k] for k in ("email", "password")}).json["user"]
    assert (user["email"], user["name"]) == (body["email"], "Ann Oak")
    assert [e.data for e in captured_events("user.registered")] == [{"userId": user["id"]}]


def test_a_known_email_gets_the_same_answer_and_a_mail(client, ann, captured_events, mailbox):
    body = registration(email=ann.email.upper(), password="another password", name="Mallory")
    known, new = client.post("/auth/register", body), client.post("/auth/register", registration())
    assert known.status == new.status
    assert known.json["user"].keys() == new.json["user"].keys()
    assert known.json["user"]["name"] == "Mallory"
    assert len(captured_events("user.registered")) == 1  # the new one's
    assert ann.log_in("another password").status == 401
    assert ann.log_in().json["user"]["name"] == "Ann Oak"
    [_, message] = mailbox(ann.email)  # the first asked to verify the address
    assert "already" in message
    assert "Mallory" not in message


def test_a_known_email_costs_the_same_hash(client, ann, monkeypatch):
    hashed = []
    slow = bcrypt.hashpw
    monkeypatch.setattr(bcrypt, "hashpw", lambda p, salt: hashed.append(salt[:7]) or slow(p, salt))
    client.post("/auth/register", registration())
    client.post("/auth/register", registration(email=ann.email))
    assert hashed == [b"$2b$04$", b"$2b$04$"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "not an address"),
        ("email", "a@b@example.com"),
        ("email", ""),
        ("email", 7),
        ("email", "ann@example.com\r\nBcc: x@example.com"),
        ("password", "7 chars"),
        ("password", "x" * 257),
        ("password", None),
        ("name", " "),
        ("name", "x" * 201),
        ("role", "owner"),
        ("id", "01890a5d-ac96-774b-bcce-b302099a8057"),
    ],
)
def test_bad_and_unknown_fields_are_refused(client, field, value):
    answer = client.post("/auth/register", registration(**{field: value}))
    assert (answer.status, answer.code) == (422, "invalid")
    assert list(answer.json["errors"]) == [field]


def test_an_email_is_one_account_in_any_spelling(app, client):
    name = uuid7()
    client.post("/auth/register", registration(email=f"{name}@EXÄMPLE.com"))
    client.post("/auth/register", registration(email=f"{name.upper()}@xn--exmple-cua.com"))
    with app.app_context(), system_session("test", read_only=True) as session:
        found = session.scalars(select(User.email).where(User.email_key.startswith(name))).all()
    assert found == [f"{name}@exämple.com"]


def register_at_once(client, body, count):
    answers = []
    run = lambda: answers.append(client.post("/auth/register", body).status)  # noqa: E731
    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_many_at_once_make_one_account(client, captured_events):
    assert register_at_once(client, registration(), 8) == [201] * 8
    assert len(captured_events("user.registered")) == 1


def test_two_who_both_find_the_email_free_make_one_account(client, captured_events, monkeypatch):
    both, find = threading.Barrier(2), services.find_user

    def find_together(session, email):
        found = find(session, email)
        with suppress(threading.BrokenBarrierError):  # SQLite lets only one in
            both.wait(0.3)
        return found

    monkeypatch.setattr(services, "find_user", find_together)
    assert register_at_once(client, registration(), 2) == [201] * 2
    assert len(captured_events("user.registered")) == 1


def test_addresses_for_trying_out_are_welcome(client):
    email = f"{uuid7()}@acme.test"
    assert client.post("/auth/register", registration(email=email)).status == 201


def test_only_a_hash_is_stored(app, ann):
    with app.app_context(), system_session("test", read_only=True) as session:
        query = select(Password.hash).join(User, User.id == Password.user_id)
        stored = session.scalars(query.where(User.email == ann.email)).one()
    assert stored.startswith("$2b$04$")
    # Without the pepper the hash is no use, not even to whoever knows the password.
    assert not bcrypt.checkpw(ann.password.encode(), stored.encode())
