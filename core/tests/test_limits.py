"""Rate limits: counted per caller, told in headers, shared through Redis."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from flask import Blueprint
from treenail.app import create_app
from treenail.db import db
from treenail.errors import ConfigurationError
from treenail.plugin import Plugin, hookimpl
from treenail.rates import Rate
from treenail.testing import Client
from treenail.testing.callers import make_person, make_tenant
from treenail.testing.databases import REDIS
from treenail.testing.injected import Injected
from treenail.testing.server import free_port
from treenail.web import authenticated, endpoint, fresh, limited, permission, public
from treenail.web.limits import EXTENSION, Memory, Shared


class Counted(Plugin):
    """Routes with limits of their own."""

    name = "counted"
    version = "1.0"

    @hookimpl
    def blueprints(self) -> Sequence[Blueprint]:
        return [routes()]


def routes() -> Blueprint:
    blueprint = Blueprint("counted", __name__)

    @blueprint.post("/counted/public")
    @endpoint(limited(public, "2/hour"))
    def of_address() -> None:
        """Twice an hour from one address."""

    @blueprint.post("/counted/own")
    @endpoint(limited(fresh(authenticated), "2/minute"))
    def of_person() -> None:
        """Twice a minute by one person."""

    @blueprint.get("/counted/tenant")
    @endpoint(permission("tenant:read"))
    def unlimited_but_for_what_holds_everywhere() -> None:
        """As often as anything."""

    return blueprint


@pytest.fixture
def environ_of(deployment):
    """Settings of the module's deployment, and more."""
    return lambda **more: deployment | {f"TREENAIL_{k}": v for k, v in more.items()}


@pytest.fixture
def make(environ_of):
    """An app of the deployment with these settings."""
    made = []

    def build(**more: str):
        plugins = {"counted": Counted, "injected": Injected}
        names = {"PLUGINS": "counted,injected", "RATE_LIMIT": "5/minute"}
        app = create_app(environ_of(**names | more), plugins)
        counters = app.extensions[EXTENSION] and app.extensions[EXTENSION].counters
        if isinstance(counters, Shared):
            counters._name = f"treenail-test-{secrets.token_hex(6)}"
        made.append(app)
        return app

    yield build
    for app in made:
        with app.app_context():
            db.engine.dispose()


def told(answer) -> tuple[str, str]:
    return answer.headers["RateLimit-Limit"], answer.headers["RateLimit-Remaining"]


def test_a_person_is_told_and_then_sent_away(make):
    app = make()
    tenant = make_tenant(app)
    for left in "43210":
        answer = tenant.owner.get("/counted/tenant")
        assert (answer.status, *told(answer)) == (204, "5", left)
        assert 55 <= int(answer.headers["RateLimit-Reset"]) <= 60
    refused = tenant.owner.get("/me")
    assert (refused.status, refused.code, *told(refused)) == (429, "too_many_requests", "5", "0")
    assert refused.headers["Retry-After"] == refused.headers["RateLimit-Reset"]
    assert tenant.member().get("/me").status == 200


def test_a_new_window_begins_with_its_first_call():
    counters = Memory()
    assert counters.add({"ann": 60}) == [(1, 60.0)]
    ((count, left),) = counters.add({"ann": 60})
    assert (count, 59 < left < 60) == (2, True)
    counters.windows["ann"] = (9, 0.0)  # ended long ago
    assert counters.add({"ann": 60}) == [(1, 60.0)]


def test_a_route_has_a_limit_of_its_own(make):
    app = make(RATE_LIMIT="1000/hour")
    person = make_person(app)
    assert told(person.post("/counted/own")) == ("2", "1")
    assert told(person.get("/me")) == ("1000", "998")
    assert [person.post("/counted/own").status for _ in range(3)] == [204, 429, 429]
    assert make_person(app).post("/counted/own").status == 204
    assert [Client(app).post("/counted/public").status for _ in range(3)] == [204, 204, 429]


def test_bad_tokens_count_for_their_address_and_lock_nobody_else_out(make):
    app = make()
    person, mallory = make_person(app), Client(app, {"Authorization": "Test nobody"})
    assert [mallory.get("/me").status for _ in range(7)] == [401] * 5 + [429] * 2
    assert Client(app).get("/openapi.json").status == 429
    assert person.get("/me").status == 200


def test_an_address_is_taken_through_trusted_proxies_alone(make):
    def status(app, address: str) -> int:
        return Client(app).get("/docs", headers={"X-Forwarded-For": address}).status

    app = make()
    assert [status(app, f"192.0.2.{n}") for n in range(6)] == [200] * 5 + [429]
    app = make(TRUSTED_PROXIES="127.0.0.1")
    assert {status(app, f"192.0.2.{n}") for n in range(6)} == {200}
    six = [status(app, f"2001:db8::{n}") for n in range(6)]  # one customer's network
    assert six == [200] * 5 + [429]


def test_what_machines_ask_is_never_refused(make):
    client = Client(make(RATE_LIMIT="1/day"))
    for path in ("//healthz", "//readyz", "//metrics"):
        answers = [client.get(path) for _ in range(3)]
        assert {answer.status for answer in answers} == {200}
        assert "RateLimit-Limit" not in answers[0].headers


def test_limits_can_be_switched_off(make):
    person = make_person(make(RATE_LIMITS="off"))
    answers = [person.get("/me") for _ in range(8)]
    assert {answer.status for answer in answers} == {200}
    assert "RateLimit-Limit" not in answers[0].headers


def test_a_declared_limit_is_described(make):
    described = Client(make()).get("/openapi.json").json["paths"]["/api/v1/counted/public"]["post"]
    assert described["x-rate-limit"] == "2/hour"
    assert "429" in described["responses"]


@pytest.mark.parametrize("text", ["", "5", "0/hour", "-1/hour", "5/week", "5 / hour", "5/hour;"])
def test_what_is_no_rate_is_refused(text, environ_of):
    with pytest.raises(ValueError, match="no rate"):
        limited(public, text)
    with pytest.raises(ConfigurationError, match="TREENAIL_RATE_LIMIT: Not a rate"):
        create_app(environ_of(RATE_LIMIT=text))


def test_a_rate_reads_as_it_is_written():
    assert (str(Rate.parse("60/hour")), Rate.parse("2/day").seconds) == ("60/hour", 86400)


def test_counters_of_ended_windows_are_dropped():
    counters = Memory()
    for number in range(10_000):
        counters.windows[f"{number}"] = (1, 0.0)
    counters.add({"ann": 60})
    assert list(counters.windows) == ["ann"]


with_services = pytest.mark.parametrize("backend", ["postgresql"], indirect=True, scope="session")


@pytest.fixture
def shared(backend) -> str:
    """A name of its own in Redis, where the services are."""
    return f"treenail-test-{secrets.token_hex(6)}"


@with_services
def test_processes_that_share_a_redis_count_together(shared):
    stores = [Shared(REDIS, shared) for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: stores[n % 4].add({"ann": 60, "ann x": 9}), range(80)))
    assert sorted(windows[0][0] for windows in found) == list(range(1, 81))
    assert all(8 < windows[1][1] <= 9 for windows in found[:10])
    assert 0 < redis.Redis.from_url(REDIS).ttl(f"{shared}:rate:ann") <= 60


@with_services
def test_an_app_counts_in_redis_where_there_is_one(shared, make):
    app = make()
    person, store = make_person(app), app.extensions[EXTENSION].counters
    assert [person.get("/me").status for _ in range(7)] == [200] * 5 + [429] * 2
    assert redis.Redis.from_url(REDIS).get(f"{store._name}:rate:{person.user_id}") == b"7"


def test_without_an_answer_of_redis_a_process_counts_alone():
    store = Shared(f"redis://127.0.0.1:{free_port()}/0", "nobody")
    assert [store.add({"ann": 60})[0][0] for _ in range(3)] == [1, 2, 3]
