"""One measured window: wrk on one processor, the server's processor time beside it."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

CONNECTIONS = 8
TICK = os.sysconf("SC_CLK_TCK")
REST_SECONDS = 60
WARM_UP_REQUESTS, WARM_UP_TURNS = 500, 5
SCRIPT = Path(__file__).with_name("wrk.lua")


@dataclass(frozen=True)
class Requests:
    """What the generator sends in turn: one method and body, one or many paths."""

    method: str
    paths: Sequence[str]
    body: str | None = None


@dataclass(frozen=True)
class Measurement:
    """Of one window: requests a second, milliseconds, microseconds of processor time a request."""

    rps: float
    p50: float
    p99: float
    cpu: float


def cpus() -> tuple[int, int]:
    """The processor of the server and that of the generator; ends the program with one alone."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        sys.exit("two processors are needed: one for the server, one for the generator")
    return allowed[0], allowed[1]


def pinned(cpu: int) -> list[str]:
    """The prefix of a command that is to have ``cpu`` before other programs."""
    # Without the right to a negative niceness `nice` says so and runs the command as it is.
    return ["taskset", "-c", str(cpu), "nice", "-n", "-5"]


def require_wrk() -> None:
    """End the program where the generator is missing."""
    for program in ("wrk", "taskset"):
        if shutil.which(program) is None:
            sys.exit(f"{program} is needed (Debian: apt install wrk util-linux)")


def measure(
    pid: int, base: str, headers: Mapping[str, str], requests: Requests, seconds: int
) -> Measurement:
    """Warm up, then measure; ``pid`` heads the server's processes.

    Processor time counts until the server rests again: what a request left to be done
    afterwards belongs to it. Raises `RuntimeError` for any answer that is not 2xx.
    """
    with TemporaryDirectory(prefix="bench-rest-") as directory:
        plan = Path(directory) / "plan.lua"
        plan.write_text(_plan(headers, requests))
        _warm_up(base, plan, seconds)
        _rest(pid)
        before = cpu_seconds(pid)
        counted = _wrk(base, plan, seconds)
        _rest(pid)
        used = cpu_seconds(pid) - before
    if counted["refused"] or counted["broken"]:
        raise RuntimeError(
            f"{requests.method} {requests.paths[0]}: not all are answered 2xx: {counted}"
        )
    return Measurement(
        rps=counted["requests"] / counted["microseconds"] * 1e6,
        p50=counted["p50"] / 1000,
        p99=counted["p99"] / 1000,
        cpu=used / counted["requests"] * 1e6,
    )


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, its descendants and those of them that have ended."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # ended while we looked
                continue
            parents[int(entry.name)] = int(fields[1])
            ticks[int(entry.name)] = sum(map(int, fields[11:15]))
    return sum(ticks[one] for one in ticks if _descends(one, pid, parents)) / TICK


def _descends(one: int, ancestor: int, parents: Mapping[int, int]) -> bool:
    while one and one != ancestor:
        one = parents.get(one, 0)
    return one == ancestor


def _rest(pid: int) -> None:
    """Wait until the server uses less than a tenth of its processor."""
    end = time.monotonic() + REST_SECONDS
    while time.monotonic() < end:
        before = cpu_seconds(pid)
        time.sleep(0.5)
        if cpu_seconds(pid) - before < 0.05:
            return
    raise RuntimeError(f"the server still works {REST_SECONDS} s after the last request")


def _warm_up(base: str, plan: Path, seconds: int) -> None:
    """A quarter of the window, or as long as a just-in-time compiler needs on a busy machine."""
    answered = 0
    for _ in range(WARM_UP_TURNS):
        answered += _wrk(base, plan, max(1, seconds // 4))["requests"]
        if answered >= WARM_UP_REQUESTS:
            break


def _wrk(base: str, plan: Path, seconds: int) -> dict[str, int]:
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "30s"]
    done = subprocess.run(
        [*pinned(cpus()[1]), *command, "-s", str(SCRIPT), base],
        env=os.environ | {"BENCH_PLAN": str(plan)},
        capture_output=True,
        text=True,
        timeout=seconds + 60,
        check=True,
    )
    counted: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return counted


def _plan(headers: Mapping[str, str], requests: Requests) -> str:
    sent = dict(headers)
    if requests.body is not None:
        sent["Content-Type"] = "application/json"
    pairs = ", ".join(f"[{_quoted(name)}] = {_quoted(value)}" for name, value in sent.items())
    fields = [
        f"method = {_quoted(requests.method)}",
        f"headers = {{{pairs}}}",
        f"paths = {{{', '.join(map(_quoted, requests.paths))}}}",
    ]
    if requests.body is not None:
        fields.append(f"body = {_quoted(requests.body)}")
    return f"return {{{', '.join(fields)}}}"


def _quoted(text: str) -> str:
    if not text.isascii():
        raise ValueError("Lua reads no \\u: the data is ASCII")
    return json.dumps(text)
