"""SIGKILL at random moments: what somebody has seen is still there."""

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from journey import JS


def witness(socket, tokens, file: Path) -> subprocess.Popen[bytes]:
    config = {**socket, "tokens": tokens, "file": str(file), "rate": 400}
    command = ["node", str(JS / "witness.mjs"), json.dumps(config)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def kill_round(server, journey, node, tmp_path: Path, dice: random.Random) -> int:
    """One life of the server; returns how many edits had been seen when it ended."""
    document, file = journey.document(), tmp_path / "seen"
    socket = journey.socket(document)
    clients = witness(socket, [socket["token"]] * 2, file)
    invited = []
    try:
        until = time.monotonic() + 0.8 + dice.random()
        while time.monotonic() < until:
            invited.append(journey.invite(f"{len(invited)}-{document}@example.com"))
        server.kill()
    finally:
        # Before the restart: a client that comes back would send again what was lost.
        clients.send_signal(signal.SIGKILL)
        clients.wait()
    server.start()
    seen = set(file.read_text().split()) if file.exists() else set()
    check_document(journey, node, document, seen)
    check_events(journey, document, len(invited))
    return len(seen)


def check_document(journey, node, document: str, seen: set[str]) -> None:
    socket = journey.socket(document)
    present = set(node("witness", **socket, verify=True)["keys"])
    assert seen <= present, f"{len(seen - present)} of {len(seen)} edits are gone"
    content = journey.ann.call("GET", f"/documents/{document}/content", expect=200)
    assert seen <= set(content["objects"])


def check_events(journey, document: str, count: int) -> None:
    """Every invitation that was answered 201 goes out, though the server died meanwhile."""
    wanted = {f"{n}-{document}@example.com" for n in range(count)}
    deadline = time.monotonic() + 20  # a lease of the killed worker may have to run out
    while time.monotonic() < deadline:
        if wanted <= {mail["To"] for mail in journey.mails()}:
            return
        time.sleep(0.2)
    missing = wanted - {mail["To"] for mail in journey.mails()}
    raise AssertionError(f"{len(missing)} of {count} mails never came")


@pytest.mark.parametrize("rounds", [2, pytest.param(20, marks=pytest.mark.long)])
@pytest.mark.timeout(1800)
def test_nothing_that_was_seen_is_lost(server, journey, node, tmp_path, rounds):
    seed = int(os.environ.get("TREENAIL_TEST_SEED", time.time_ns() % 100_000))
    dice, seen = random.Random(seed), 0
    for number in range(rounds):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        seen += kill_round(server, journey, node, folder, dice)
    assert seen > 50 * rounds, f"seed {seed}: the witness saw only {seen}"
