"""What does the record cost? Promised: CPU of a document's creation at most 1.05 times."""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from flask import Flask
from treenail import migrate
from treenail.app import create_app
from treenail.db import db
from treenail.deliveries import drain
from treenail.testing.callers import make_tenant
from treenail.testing.injected import Injected
from treenail_audit import sealer

PROMISED = 1.05
OTHERS = "auth,rbac,workspaces,collab"
WARM_UP = 50
Round = Callable[[int], float]


def deployment(data: Path, plugins: str) -> Flask:
    """A fresh one, in this process."""
    environ = {
        "TREENAIL_DATA": str(data),
        "TREENAIL_PLUGINS": f"{plugins},injected",
        "TREENAIL_RATE_LIMITS": "off",
        "TREENAIL_LOG_LEVEL": "WARNING",
    }
    app = create_app(environ, {"injected": Injected}, check_database=False)
    with app.app_context():
        migrate.upgrade(app.extensions["treenail"].registry)
        db.engine.dispose()
    return create_app(environ, {"injected": Injected})


def creating(app: Flask, audit: bool) -> Round:
    """A round: create documents, deliver what they emit, seal; microseconds of CPU for each."""
    owner = make_tenant(app).owner
    workspace = owner.post("/workspaces", {"name": "Joinery"}).json["id"]
    path = f"/workspaces/{workspace}/documents"

    def run(documents: int) -> float:
        began = time.process_time()
        for number in range(documents):
            answer = owner.post(path, {"title": f"Roof {number}", "kind": "board"})
            if answer.status != 201:
                raise RuntimeError(answer.json)
        with app.app_context():
            drain()
            if audit:
                sealer.seal_all()
        return (time.process_time() - began) / documents * 1e6

    run(WARM_UP)
    return run


def main() -> None:
    """Measure in turns; exit 1 when the promise isn't kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--documents", type=int, default=300)
    options = parser.parse_args()
    with TemporaryDirectory() as without, TemporaryDirectory() as audited:
        rounds = {
            "off": creating(deployment(Path(without), OTHERS), False),
            "on": creating(deployment(Path(audited), f"{OTHERS},audit"), True),
        }
        taken: dict[str, list[float]] = {"off": [], "on": []}
        for number in range(options.rounds):
            for name in ("off", "on") if number % 2 else ("on", "off"):
                taken[name].append(rounds[name](options.documents))
    ratio = median(taken["on"]) / median(taken["off"])
    found = {name: round(median(values)) for name, values in taken.items()}
    print(json.dumps({"microseconds": found, "ratio": round(ratio, 3)}))
    sys.exit(ratio > PROMISED)


if __name__ == "__main__":
    main()
