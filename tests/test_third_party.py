"""``examples/greetings``, a stranger's plugin: installed, enabled, used and taken away."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from journey import Journey, Person, plain
from program import ROOT, install, treenail
from treenail.registry import FIRST_PARTY
from treenail.testing import LiveServer

SOURCE = ROOT / "examples" / "greetings"
CHECK = """
import flask_migrate
from flask import g
from treenail.app import create_app
app = create_app()
with app.app_context():
    g.migrating = app.extensions["treenail"].registry.plugins["greetings"]
    flask_migrate.check.__wrapped__()
"""
Settings = dict[str, str]


@pytest.fixture(scope="module")
def installed(deployment: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The deployment with the distribution on its path; nobody has named it yet."""
    site = tmp_path_factory.mktemp("site")
    install(site, "greetings", "greetings.plugin:Greetings")
    return deployment | {"PYTHONPATH": f"{site}:{SOURCE}"}


@pytest.fixture(scope="module")
def enabled(installed: Settings) -> Settings:
    names = ",".join((*FIRST_PARTY, "greetings"))
    signature = {"TREENAIL_GREETINGS_SIGNATURE": "Yours, the joinery"}
    return installed | signature | {"TREENAIL_PLUGINS": names}


@pytest.fixture(scope="module")
def server(enabled: Settings) -> Iterator[LiveServer]:
    with LiveServer(enabled) as running:
        yield running


@pytest.fixture(scope="module")
def bob(journey: Journey) -> Person:
    return journey.member()


@pytest.fixture
def greeting(journey: Journey, bob: Person) -> Any:
    body = {"recipientId": bob.id, "words": "The roof is up!"}
    return journey.ann.call("POST", "/greetings", body, 201)


def states(settings: Settings) -> dict[str, str]:
    rows = json.loads(treenail(settings, "plugins", "list", "--json").out)
    return {row["name"]: row["state"] for row in rows}


def mailed(journey: Journey, words: str, within: float = 10) -> Any:
    """The mail that says so, once it is there."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        for mail in journey.mails():
            if words in plain(mail):
                return mail
        time.sleep(0.05)
    raise AssertionError(f"no mail says {words!r}")


def test_installing_it_changes_nothing(installed: Settings):
    ours = dict.fromkeys(("core", *FIRST_PARTY), "enabled")
    assert states(installed) == ours | {"greetings": "disabled"}
    assert "greeting" not in treenail(installed, "openapi").out


def test_its_table_is_what_its_model_says(server: LiveServer):
    done = subprocess.run([sys.executable, "-c", CHECK], env=server.settings, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_a_member_sends_and_reads(journey: Journey, bob: Person, greeting: Any):
    assert bob.call("GET", f"/greetings/{greeting['id']}", expect=200)["words"] == "The roof is up!"
    assert greeting["id"] in [g["id"] for g in bob.call("GET", "/greetings", expect=200)["items"]]
    assert bob.call("POST", "/greetings", {"recipientId": journey.ann.id, "words": "Ah"}) == 201


def test_a_guest_neither_sends_nor_reads(journey: Journey, bob: Person, greeting: Any):
    guest = journey.member("guest")
    body = {"recipientId": bob.id, "words": "Hi"}
    assert guest.call("POST", "/greetings", body, 403)["permission"] == "greeting:create"
    assert guest.call("GET", f"/greetings/{greeting['id']}") == 404
    assert guest.call("GET", "/greetings", expect=200)["items"] == []


def test_another_tenant_knows_nothing_of_it(server, journey: Journey, greeting: Any):
    other = Journey(server).ann
    assert other.call("GET", f"/greetings/{greeting['id']}") == 404
    assert other.call("GET", "/greetings", expect=200)["items"] == []
    body = {"recipientId": journey.ann.id, "words": "Psst"}
    assert other.call("POST", "/greetings", body) == 404
    assert server.call("GET", f"/greetings/{greeting['id']}")[0] == 401


def test_its_event_reaches_its_subscription(journey: Journey, bob: Person):
    body = {"recipientId": bob.id, "words": "The beams are cut."}
    sent = journey.ann.call("POST", "/greetings", body, 201)
    assert sent["mailedAt"] is None
    mail = mailed(journey, "The beams are cut.")
    assert mail["To"] == bob.email
    assert plain(mail).rstrip().endswith("Yours, the joinery")
    assert bob.call("GET", f"/greetings/{sent['id']}", expect=200)["mailedAt"] is not None


def test_it_is_described_like_ours(server: LiveServer):
    described = server.call("GET", "/openapi.json")[1]
    assert described["paths"]["/api/v1/greetings"]["post"]["x-permission"] == "greeting:create"
    types = [kind["name"] for kind in server.call("GET", "/event-types")[1]["items"]]
    assert "greeting.sent" in types


@contextmanager
def restarted(server: LiveServer, settings: Settings) -> Iterator[None]:
    """For a while, the same server with other settings."""
    server.stop()
    kept, server.settings = server.settings, settings | {"PORT": str(server.port)}
    server.start()
    yield
    server.stop()
    server.settings = kept
    server.start()


def test_taken_away_it_leaves_the_rest_working(server, deployment, journey: Journey, bob: Person):
    """And put back, it finds what it had."""
    sent = journey.ann.call("POST", "/greetings", {"recipientId": bob.id, "words": "Bye"}, 201)
    with restarted(server, deployment):
        assert states(deployment)["greetings"] == "orphan"
        assert server.call("GET", "//readyz") == (200, {"status": "ok", "failures": []})
        assert journey.ann.call("GET", "/greetings") == 404
        assert journey.document()
    assert journey.ann.call("GET", f"/greetings/{sent['id']}", expect=200)["words"] == "Bye"
    assert mailed(journey, "Bye")["To"] == bob.email
