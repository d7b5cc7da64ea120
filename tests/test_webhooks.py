"""Webhooks as receivers in another language see them, and as they survive SIGKILL."""

from __future__ import annotations

import json
import os
import random
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from http.client import HTTPException
from typing import Any

import pytest
from journey import Journey
from receiver import Receiver

WORKSPACES = ["workspace.created"]
SECONDS = 30


@pytest.fixture(scope="module")
def environ() -> dict[str, str]:
    """Everything, allowed to call this machine."""
    return {
        "TREENAIL_AUTH_BCRYPT_ROUNDS": "4",
        "TREENAIL_RATE_LIMITS": "off",
        "TREENAIL_WEBHOOKS_ALLOW_CIDRS": "127.0.0.0/8",
        "TREENAIL_WEBHOOKS_DEADLINE_SECONDS": "1",
    }


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


def endpoint_of(journey: Journey, receiver: Receiver, **body: Any) -> dict[str, Any]:
    given = {"url": f"{receiver.url}/hook", "events": WORKSPACES, **body}
    made: dict[str, Any] = journey.ann.call("POST", "/webhooks/endpoints", given, 201)
    return made


def subjects(receiver: Receiver) -> Counter[str]:
    return Counter(json.loads(request.body)["subject"] for request in receiver.requests)


def wait_for(receiver: Receiver, wanted: set[str]) -> None:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until and not wanted <= subjects(receiver).keys():
        time.sleep(0.05)
    missing = wanted - subjects(receiver).keys()
    assert not missing, f"{len(missing)} of {len(wanted)} never came"


def test_githubs_and_svixs_own_verifiers_take_the_signatures(server, journey, receiver, node):
    made = endpoint_of(journey, receiver)
    path = f"/webhooks/endpoints/{made['id']}"
    rotated = journey.ann.call("POST", f"{path}/rotate-secret", {}, 200)
    wait_for(receiver, {journey.ann.call("POST", "/workspaces", {"name": "Bücher 📚"}, 201)["id"]})
    (request,) = receiver.requests
    headers = {name.lower(): value for name, value in request.headers.items()}
    secrets = [made["secret"], rotated["secret"]]
    found = node(
        "verify", hub=made["secret"], secrets=secrets, headers=headers, body=request.body.decode()
    )
    assert found == {
        "octokit": True,
        "octokitTampered": False,
        "svix": [True, True],
        "svixTampered": [False, False],
    }
    journey.ann.call("DELETE", path)


class Maker:
    """Makes workspaces as fast as they are answered, and remembers which were."""

    def __init__(self, journey: Journey) -> None:
        self.journey, self.made, self.stopped = journey, set[str](), threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Maker:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stopped.set()
        self._thread.join()

    def _run(self) -> None:
        ann = self.journey.ann
        while not self.stopped.is_set():
            try:
                status, answer = ann.server.call("POST", "/workspaces", {"name": "A"}, ann.token)
            except (
                OSError,
                HTTPException,
                ValueError,
            ):  # killed: nobody knows whether that one is there
                time.sleep(0.01)
            else:
                assert status == 201, answer
                self.made.add(answer["id"])


def listed(journey: Journey) -> set[str]:
    """Every workspace there is."""
    found, cursor = set(), ""
    while cursor is not None:
        page = journey.ann.call("GET", f"/workspaces?limit=200{cursor and '&cursor=' + cursor}",
                                expect=200)  # fmt: skip
        found |= {item["id"] for item in page["items"]}
        cursor = page["nextCursor"]
    return found


@pytest.mark.parametrize("kills", [5, pytest.param(50, marks=pytest.mark.long)])
@pytest.mark.timeout(1800)
def test_every_committed_event_arrives_though_the_worker_is_killed(
    server, journey, receiver, kills
):
    seed = int(os.environ.get("TREENAIL_TEST_SEED", time.time_ns() % 100_000))
    dice = random.Random(seed)
    receiver.answers = [lambda handler: slowly(handler, dice)]
    made = endpoint_of(journey, receiver, schedule=[0.2] * 20)
    with Maker(journey) as maker:
        for _ in range(kills):
            time.sleep(0.2 + dice.random() * 0.8)
            server.kill()
            server.start()
    wait_for(receiver, maker.made)
    found = subjects(receiver)
    assert found.keys() <= listed(journey), "told of what was rolled back"
    ids: dict[str, set[str]] = {}
    for request in receiver.requests:
        ids.setdefault(json.loads(request.body)["subject"], set()).add(
            request.headers["Webhook-Id"]
        )
    assert all(len(each) == 1 for each in ids.values()), "a double with another id"
    doubles = sum(found.values()) - len(found)
    print(f"seed {seed}: {kills} kills, {len(maker.made)} events, 0 lost, {doubles} doubles")
    assert len(maker.made) > 2 * kills
    journey.ann.call("DELETE", f"/webhooks/endpoints/{made['id']}")


def slowly(handler: Any, dice: random.Random) -> None:
    """Answer after a moment, now and then with a failure."""
    time.sleep(dice.random() * 0.02)
    status = b"503 Busy" if dice.random() < 0.1 else b"204 Yes"
    handler.wfile.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")


def test_an_event_is_at_the_receiver_soon_after_its_commit(server, journey, receiver):
    made = endpoint_of(journey, receiver)
    wanted = set()
    for _ in range(40):
        wanted.add(journey.ann.call("POST", "/workspaces", {"name": "A"}, 201)["id"])
        time.sleep(0.02)
    wait_for(receiver, wanted)
    took = [
        (request.at - datetime.fromisoformat(json.loads(request.body)["time"]).timestamp()) * 1000
        for request in receiver.requests
    ]
    p50, worst = statistics.median(took), max(took)
    print(f"event to receiver: p50 {p50:.0f} ms, max {worst:.0f} ms")
    assert p50 < 250  # unloaded far below: see the plugin's README
    journey.ann.call("DELETE", f"/webhooks/endpoints/{made['id']}")
