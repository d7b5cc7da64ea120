"""The doors to an account: does their time say who has one, and how long is a log-in's?

A real server (SQLite, bcrypt at cost 12, rate limits off) over HTTP on this machine. Known and
unknown e-mails take turns, in an order that reverses with each pair, so that whatever else the
machine does meets both alike. Log-ins at once are held against bare bcrypt checks that are run
the same way, in turns with them.
"""

import argparse
import http.client
import json
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import bcrypt
from rich.console import Console
from rich.table import Table
from treenail.testing import LiveServer

HERE = Path(__file__).parent
PASSWORD, WRONG = "oak beams lie here", "oak beams lie there"
COST = 12
SAME_WITHIN = 0.10
TWO_AT_ONCE_SECONDS = 0.5
FOUR_AT_ONCE_RATIO = 1.15
WARM_UP = 3

Result = dict[str, Any]
Act = Callable[[], None]


class Visitor:
    """Calls the server over one connection that stays open."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def post(self, path: str, body: Result, expect: int) -> None:
        """Send a request; raises `RuntimeError` for another status."""
        headers = {"Content-Type": "application/json"}
        self.connection.request("POST", f"/api/v1{path}", json.dumps(body), headers)
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status != expect:
            raise RuntimeError(f"{path}: {answer.status} {text[:300]!r}")


def address() -> str:
    """An e-mail nobody has; all are equally long."""
    return f"{uuid4().hex}@example.com"


@contextmanager
def served() -> Iterator[LiveServer]:
    """A fresh deployment."""
    with TemporaryDirectory(prefix="bench-auth-") as data:
        settings = {
            "TREENAIL_DATA": data,
            "TREENAIL_RATE_LIMITS": "off",
            "TREENAIL_AUTH_BCRYPT_ROUNDS": str(COST),
            "TREENAIL_LOG_LEVEL": "WARNING",
        }
        with LiveServer(settings) as server:
            yield server


def seconds(act: Act) -> float:
    """How long it takes."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def doors(visitor: Visitor) -> dict[str, Callable[[str], None]]:
    """What is asked at each door with an e-mail."""
    new = {"password": PASSWORD, "name": "Ann Oak"}
    return {
        "login": lambda email: visitor.post(
            "/auth/login", {"email": email, "password": WRONG}, expect=401
        ),
        "register": lambda email: visitor.post(
            "/auth/register", {"email": email, **new}, expect=201
        ),
        "forgot": lambda email: visitor.post("/auth/password/forgot", {"email": email}, expect=202),
    }


def compare(ask: Callable[[str], None], known: str, pairs: int) -> Result:
    """Both medians, in seconds, and their ratio."""
    times: dict[str, list[float]] = {"known": [], "unknown": []}
    for number in range(-WARM_UP, pairs):
        emails = {"known": known, "unknown": address()}
        for name in sorted(emails, reverse=bool(number % 2)):
            taken = seconds(lambda email=emails[name]: ask(email))  # type: ignore[misc]
            if number >= 0:
                times[name].append(taken)
    medians = {name: median(found) for name, found in times.items()}
    ratio = medians["known"] / medians["unknown"]
    return {"medians": medians, "ratio": ratio, "ok": abs(ratio - 1) <= SAME_WITHIN, "times": times}


def at_once(acts: Sequence[Act]) -> list[float]:
    """Start all together; how long each takes, in seconds."""
    start, found = threading.Barrier(len(acts)), [0.0] * len(acts)

    def run(number: int) -> None:
        start.wait()
        found[number] = seconds(acts[number])

    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def log_ins(port: int, rounds: int) -> Result:
    """Two and four log-ins at once, and four bare checks; medians of the slowest of a round."""
    people = []
    for _ in range(4):
        visitor, body = Visitor(port), {"email": address(), "password": PASSWORD}
        visitor.post("/auth/register", {**body, "name": "Ann Oak"}, expect=201)
        people.append(lambda v=visitor, b=body: v.post("/auth/login", b, expect=200))
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(COST))
    bare: list[Act] = [lambda: _check(hashed)] * 4
    slowest: dict[str, list[float]] = {"two": [], "four": [], "bare": []}
    for number in range(-1, rounds):
        found = {"two": at_once(people[:2]), "four": at_once(people), "bare": at_once(bare)}
        if number >= 0:
            for name, times in found.items():
                slowest[name].append(max(times))
    medians = {name: median(times) for name, times in slowest.items()}
    ratio = medians["four"] / medians["bare"]
    return {
        "medians": medians,
        "ratio": ratio,
        "two": {"ok": medians["two"] < TWO_AT_ONCE_SECONDS},
        "four": {"ok": ratio <= FOUR_AT_ONCE_RATIO},
        "times": slowest,
    }


def _check(hashed: bytes) -> None:
    if not bcrypt.checkpw(PASSWORD.encode(), hashed):
        raise RuntimeError("bcrypt says no")


def measure(pairs: int, rounds: int, only: str | None = None) -> Result:
    """The whole report, or one door's."""
    with served() as server:
        visitor, known = Visitor(server.port), address()
        asking = doors(visitor)
        asking["register"](known)
        chosen = {name: ask for name, ask in asking.items() if only in (None, name)}
        found = {name: compare(ask, known, pairs) for name, ask in chosen.items()}
        entering = None if only else log_ins(server.port, rounds)
    every = [door["ok"] for door in found.values()]
    every += [entering[name]["ok"] for name in ("two", "four")] if entering else []
    return {
        "machine": {
            "platform": platform.platform(),
            "cpus": os.cpu_count(),
            "python": platform.python_version(),
            "bcrypt": version("bcrypt"),
        },
        "pairs": pairs,
        "rounds": rounds,
        "doors": found,
        "logIns": entering,
        "ok": all(every),
    }


def print_tables(report: Result) -> None:
    """The report for people."""
    console = Console()
    table = Table(title=f"doors, medians of {report['pairs']} pairs, ms")
    for column in ("door", "known", "unknown", "known/unknown", "within 10 %"):
        table.add_column(column, justify="left" if column == "door" else "right")
    for name, door in report["doors"].items():
        known, unknown = (f"{door['medians'][k] * 1000:.1f}" for k in ("known", "unknown"))
        table.add_row(name, known, unknown, f"{door['ratio']:.3f}", _word(door["ok"]))
    console.print(table)
    if report["logIns"]:
        console.print(_log_in_table(report["logIns"], report["rounds"]))


def _log_in_table(found: Result, rounds: int) -> Table:
    two, four, bare = (found["medians"][name] * 1000 for name in ("two", "four", "bare"))
    table = Table(title=f"at once, the slowest, medians of {rounds} rounds")
    for column in ("what", "ms", "promised", "found", ""):
        table.add_column(column, justify="right" if column == "ms" else "left")
    limit = f"< {TWO_AT_ONCE_SECONDS * 1000:.0f} ms"
    table.add_row("two log-ins", f"{two:.0f}", limit, "", _word(found["two"]["ok"]))
    limit, ratio = f"≤ {FOUR_AT_ONCE_RATIO} × bare", f"{found['ratio']:.2f}"
    table.add_row("four log-ins", f"{four:.0f}", limit, ratio, _word(found["four"]["ok"]))
    table.add_row("four bare bcrypt checks", f"{bare:.0f}", "", "", "")
    return table


def _word(ok: bool) -> str:
    return "[green]yes[/green]" if ok else "[red]no[/red]"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=50, help="known and unknown at each door")
    parser.add_argument("--rounds", type=int, default=9, help="of log-ins at once")
    parser.add_argument("--only", choices=("login", "register", "forgot"), help="one door alone")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the tables")
    parser.add_argument("--out", type=Path, default=HERE / "results.json", help="the JSON file")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the report, print it; 1 when something isn't as promised."""
    options = parse(arguments)
    report = measure(options.pairs, options.rounds, options.only)
    text = json.dumps(report, indent=2)
    options.out.write_text(text + "\n")
    if options.json:
        print(text)
    else:
        print_tables(report)
    return 0 if report["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
