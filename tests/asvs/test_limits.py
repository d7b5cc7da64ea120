"""V2.4 and V6.3: with rate limits on, as they are outside of load tests."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def environ(environ: dict[str, str]) -> dict[str, str]:
    return {**environ, "TREENAIL_RATE_LIMITS": "on"}


def log_in(client, account, password: str, ip: str):
    body = {"email": account.email, "password": password}
    return client.post("/auth/login", body, environ_overrides={"REMOTE_ADDR": ip})


def test_v2_4_1_the_doors_are_not_for_machines(client, ann):
    calls = {
        "/auth/register": {"email": "x@example.com", "password": "oak beams", "name": "x"},
        "/auth/password/forgot": {"email": ann.email},
        "/auth/login": {"email": ann.email, "password": "wrong password"},
    }
    for path, body in calls.items():
        peer = {"REMOTE_ADDR": "203.0.113.77"}
        answers = [client.post(path, body, environ_overrides=peer) for _ in range(62)]
        assert answers[0].status < 429
        assert answers[-1].status == 429
        assert answers[-1].code in ("too_many_attempts", "too_many_requests")
        assert int(answers[-1].headers["Retry-After"]) >= 1


def test_v6_3_1_guessing_slows_down_and_locks_nobody_out(client, ann, after):
    assert log_in(client, ann, ann.password, "198.51.100.7").status == 200  # at home
    tries = [log_in(client, ann, "wrong password", f"203.0.113.{n}") for n in range(9)]
    assert [t.status for t in tries] == [401] * 5 + [429] * 4  # from wherever they come
    assert log_in(client, ann, ann.password, "203.0.113.99").status == 429
    assert log_in(client, ann, ann.password, "198.51.100.7").status == 200
    with after(minutes=15, seconds=1):
        assert log_in(client, ann, ann.password, "203.0.113.99").status == 200
