"""Throttled tries: per account and per address, across processes, never for good."""

import threading

import pytest
from sqlalchemy import select
from treenail.db import system_session
from treenail.ids import uuid7
from treenail_auth import tasks, throttle
from treenail_auth.models import Throttle

HERE, ELSEWHERE = "203.0.113.7", "198.51.100.9"


@pytest.fixture(scope="module")
def environ():
    return {"TREENAIL_PLUGINS": "auth", "TREENAIL_AUTH_BCRYPT_ROUNDS": "4"}


@pytest.fixture(autouse=True)
def quiet(app):
    """Every test begins with a clean slate: they share one address."""
    with app.app_context(), system_session("test") as session:
        session.query(Throttle).delete()


def from_address(ip):
    return {"environ_base": {"REMOTE_ADDR": ip}}


def fail(account, times, ip=ELSEWHERE):
    return [account.log_in("wrong password", **from_address(ip)) for _ in range(times)]


def is_throttled(answer):
    after = int(answer.headers["Retry-After"])
    assert answer.headers["RateLimit-Reset"] == str(after)
    assert answer.headers["RateLimit-Remaining"] == "0"
    return (answer.status, answer.code) == (429, "too_many_attempts") and 0 < after <= 900


def test_after_five_failures_one_waits(ann):
    answers = fail(ann, 7)
    assert [answer.status for answer in answers] == [401] * 5 + [429] * 2
    assert is_throttled(answers[-1])
    assert is_throttled(ann.log_in(**from_address(ELSEWHERE)))  # the right password too


def test_each_further_failure_doubles_the_wait_up_to_a_quarter_of_an_hour(ann, after):
    fail(ann, 5)
    waits, passed = [], 0
    for _ in range(12):
        with after(seconds=passed):
            waits.append(int(fail(ann, 1)[0].headers["Retry-After"]))
        passed += waits[-1] + 1
        with after(seconds=passed):
            assert fail(ann, 1)[0].status == 401
    assert waits[:4] == [2, 4, 8, 16]
    assert max(waits) == waits[-1] == 900


def test_an_hours_quiet_ends_it(ann, after):
    fail(ann, 5)
    with after(minutes=61):
        assert [answer.status for answer in fail(ann, 6)] == [401] * 5 + [429]


def test_a_log_in_ends_it(ann):
    fail(ann, 4)
    assert ann.log_in(**from_address(ELSEWHERE)).status == 200
    assert [answer.status for answer in fail(ann, 5)] == [401] * 5


def test_unknown_accounts_are_throttled_the_same(client, ann):
    body = {"email": f"{uuid7()}@example.com", "password": "wrong password"}
    unknown = [client.post("/auth/login", body, **from_address(ELSEWHERE)) for _ in range(7)]
    known = fail(ann, 7)
    assert [a.status for a in unknown] == [a.status for a in known]
    assert unknown[-1].json | {"requestId": ""} == known[-1].json | {"requestId": ""}


def test_spellings_of_an_address_are_one_account(client, ann):
    for email in (ann.email, ann.email.upper(), ann.email.capitalize()):
        for _ in range(2):
            answer = client.post("/auth/login", {"email": email, "password": "wrong password"})
    assert is_throttled(answer)


def test_where_one_has_logged_in_before_one_still_can(ann):
    ann.log_in(**from_address(HERE))
    assert is_throttled(fail(ann, 6, ELSEWHERE)[-1])
    assert ann.log_in(**from_address(HERE)).status == 200
    assert is_throttled(fail(ann, 6, HERE)[-1])  # with five tries of its own


def test_others_are_not_held_up(ann, bob):
    fail(ann, 6)
    assert bob.log_in(**from_address(ELSEWHERE)).status == 200


def test_many_accounts_from_one_address_are_throttled(client, monkeypatch):
    monkeypatch.setattr(throttle, "FREE_OF_ADDRESS", 6)

    def guess(ip):
        body = {"email": f"{uuid7()}@example.com", "password": "wrong password"}
        return client.post("/auth/login", body, **from_address(ip)).status

    assert [guess(ELSEWHERE) for _ in range(7)] == [401] * 6 + [429]
    assert guess(HERE) == 401


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
def test_a_network_of_ipv6_is_one_client(app, first, second, same):
    with app.app_context():
        found = throttle.counters("x", first) == throttle.counters("x", second)
    assert found is same


def test_many_at_once_get_no_more_tries(ann):
    answers = []
    run = lambda: answers.extend(fail(ann, 1))  # noqa: E731
    threads = [threading.Thread(target=run) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status for answer in answers) == [401] * 5 + [429] * 15


def test_successes_of_an_address_do_not_add_up(ann, monkeypatch):
    monkeypatch.setattr(throttle, "FREE_OF_ADDRESS", 6)
    assert [ann.log_in().status for _ in range(10)] == [200] * 10


def test_codes_are_throttled(ann):
    ann.session().enrol()
    codes = []
    for _ in range(2):  # a new log-in brings no new tries
        token = ann.log_in().json["mfaToken"]
        for _ in range(4):
            body = {"mfaToken": token, "code": "000000"}
            codes.append(ann.client.post("/auth/mfa/verify", body).code)
    assert codes == ["invalid_credentials"] * 5 + ["too_many_attempts"] * 3


@pytest.mark.parametrize("proof", [{"password": "wrong"}, {"code": "000000"}])
def test_reauthenticating_is_throttled(ann, proof):
    session = ann.session()
    codes = [session.reauthenticate(**proof).code for _ in range(6)]
    assert codes == ["invalid_credentials"] * 5 + ["too_many_attempts"]


def test_the_current_password_is_throttled(ann):
    session = ann.session()
    body = {"password": "a new oak beam", "currentPassword": "wrong"}
    assert [session.patch(**body).status for _ in range(6)] == [422] * 5 + [429]


def test_asking_for_new_passwords_is_throttled(client, ann):
    def ask(email):
        return client.post("/auth/password/forgot", {"email": email}).status

    for email in (ann.email, "nobody@example.com"):
        assert [ask(email) for _ in range(6)] == [202] * 5 + [429]


def test_registering_is_throttled_by_address(client, monkeypatch):
    monkeypatch.setattr(throttle, "FREE_OF_ADDRESS", 3)

    def register():
        body = {"email": f"{uuid7()}@example.com", "password": "a new oak beam", "name": "Ann"}
        return client.post("/auth/register", body).status

    assert [register() for _ in range(4)] == [201] * 3 + [429]


def test_counters_name_nobody_and_are_forgotten(app, ann, after):
    fail(ann, 1)

    def keys():
        with app.app_context(), system_session("test", read_only=True) as session:
            return session.scalars(select(Throttle.key)).all()

    assert len(keys()) == 3  # one of registering
    assert ann.email not in "".join(keys())
    with app.app_context(), after(minutes=61):
        tasks.purge_tickets()
    assert keys() == []
