"""Live documents against npm's @y/websocket-server: the same harness, the same run.

Scenarios are run alternately on both servers, each measurement on a freshly started one, the
server on one processor and the generator on another. Figures are medians of the rounds.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.table import Table
from servers import NODE_PROJECT, SERVERS, running

HERE = Path(__file__).parent
# A server that takes more of one writer ends the window early; its figure stays true.
EDITS_PER_SECOND = 300_000
EDITORS, EDITOR_RATE, WARM_UP = 100, 10, 1
GENERATOR_LIMIT = 0.9

# Scenario, path in the result, what the table calls it, and whether more is better.
METRICS = [
    ("writers", "editsPerSecond", "edits/s", True),
    ("writers", "deliveriesPerSecond", "logical deliveries/s", True),
    ("writers", "framesPerSecond", "frames/s", True),
    ("writers", "serverCpuShare", "server cpu share", False),
    ("writers", "generatorCpuShare", "generator cpu share", False),
    ("editors", "latency.p50", "edit to sight p50 ms", False),
    ("editors", "latency.p95", "edit to sight p95 ms", False),
    ("editors", "latency.p99", "edit to sight p99 ms", False),
    ("editors", "serverCpu", "server cpu s", False),
    ("editors", "framesPerSecond", "frames/s", True),
    ("editors", "generatorCpuShare", "generator cpu share", False),
]
SCENARIOS = ("writers", "editors")

Result = dict[str, Any]


def cpus() -> tuple[int, int]:
    """The processor of the server and that of the generator."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        sys.exit("two processors are needed: one for the server, one for the generator")
    return allowed[0], allowed[1]


def pinned(cpu: int) -> list[str]:
    """The prefix of a command that is to have ``cpu`` before other programs."""
    # Without the right to a negative niceness `nice` says so and runs the command as it is.
    return ["taskset", "-c", str(cpu), "nice", "-n", "-5"]


def node(script: str, config: Result, prefix: Iterable[str] = ()) -> Result:
    """Run one of the generator's scripts and return the line it prints."""
    command = [*prefix, "node", str(HERE / script), json.dumps(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise RuntimeError(f"{script} failed:\n{done.stderr[-2000:]}")
    result: Result = json.loads(done.stdout)
    return result


def prepare(scenario: str, seconds: int, file: Path) -> None:
    """Make a scenario's edits beforehand: the same bytes for every server and round."""
    config = (
        {"writers": 1, "shapes": 100, "edits": seconds * EDITS_PER_SECOND}
        if scenario == "writers"
        else {"writers": EDITORS, "shapes": 5, "edits": (seconds + WARM_UP) * EDITOR_RATE}
    )
    node("prepare.mjs", {**config, "file": str(file)})


def measure(scenario: str, name: str, seconds: int, file: Path) -> Result:
    """One scenario on one freshly started server."""
    server_cpu, generator_cpu = cpus()
    with running(SERVERS[name], pinned(server_cpu)) as process:
        room = SERVERS[name].new_room(process.port)
        config = {**asdict(room), "pid": process.pid, "seconds": seconds, "file": str(file)}
        result = node(f"{scenario}.mjs", config, pinned(generator_cpu))
    if not result["converged"]:
        raise RuntimeError(f"{name}: a fresh client does not find what was written ({scenario})")
    return result


def pick(result: Result, path: str) -> float:
    """The number at a dotted path."""
    value: Any = result
    for key in path.split("."):
        value = value[key]
    return float(value)


def summarize(rounds: dict[str, dict[str, list[Result]]]) -> list[Result]:
    """A row for every metric: each server's median and the ratio to the anchor's."""
    rows = []
    for scenario, path, label, more_is_better in METRICS:
        medians = {
            name: median(pick(result, path) for result in results)
            for name, results in rounds.get(scenario, {}).items()
        }
        if not medians:
            continue
        row = {"scenario": scenario, "metric": label, "path": path, "medians": medians}
        anchor = medians.get("anchor")
        ratio = medians["treenail"] / anchor if anchor and "treenail" in medians else None
        rows.append({**row, "moreIsBetter": more_is_better, "ratio": ratio})
    return rows


def machine() -> Result:
    """What the figures depend on."""
    versions = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
    packages = json.loads((NODE_PROJECT / "package.json").read_text())["dependencies"]
    return {
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "node": versions.stdout.strip(),
        "anchor": f"@y/websocket-server {packages['@y/websocket-server']}",
    }


def print_table(report: Result) -> None:
    """The report for people."""
    table = Table(title=f"live documents, medians of {report['rounds']} rounds")
    table.add_column("scenario")
    table.add_column("metric")
    for name in report["servers"]:
        table.add_column(name, justify="right")
    table.add_column("treenail/anchor", justify="right")
    for row in report["metrics"]:
        figures = [_figure(row["medians"].get(name)) for name in report["servers"]]
        table.add_row(row["scenario"], row["metric"], *figures, _figure(row["ratio"]))
    console = Console()
    console.print(table)
    for warning in report["warnings"]:
        console.print(f"[yellow]{warning}[/yellow]")


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.2f}"


def warnings(rounds: dict[str, dict[str, list[Result]]]) -> list[str]:
    """Where the generator, not the server, may have been the limit."""
    return [
        f"{scenario} on {name}: the generator used {share:.0%} of its processor; "
        "the server may be faster than this figure"
        for scenario, servers in rounds.items()
        for name, results in servers.items()
        if (share := median(r["generatorCpuShare"] for r in results)) > GENERATOR_LIMIT
    ]


def turns(rounds: int, names: list[str], scenarios: list[str]) -> Iterator[tuple[int, str, str]]:
    """Every round's servers and scenarios, in the order they are measured."""
    for number in range(1, rounds + 1):
        # Every other round in reverse, so that neither always has the cooler machine.
        for name in names if number % 2 else names[::-1]:
            for scenario in scenarios:
                yield number, name, scenario


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=5, help="length of a measured window")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each, for medians")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--only", choices=list(SERVERS), help="one server alone")
    parser.add_argument("--scenario", choices=SCENARIOS, help="one scenario alone")
    parser.add_argument("--out", type=Path, default=HERE / "results.json", help="the JSON file")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, write the report, print it."""
    options = parse(arguments)
    names = [options.only] if options.only else list(SERVERS)
    scenarios = [options.scenario] if options.scenario else list(SCENARIOS)
    rounds: dict[str, dict[str, list[Result]]] = {s: {n: [] for n in names} for s in scenarios}
    with TemporaryDirectory(prefix="bench-live-") as directory:
        files = {scenario: Path(directory) / scenario for scenario in scenarios}
        for scenario, file in files.items():
            prepare(scenario, options.seconds, file)
        for number, name, scenario in turns(options.rounds, names, scenarios):
            print(f"round {number}: {scenario} on {name}", file=sys.stderr)
            result = measure(scenario, name, options.seconds, files[scenario])
            rounds[scenario][name].append(result)
    report: Result = {
        "machine": machine(),
        "seconds": options.seconds,
        "rounds": options.rounds,
        "servers": names,
        "metrics": summarize(rounds),
        "warnings": warnings(rounds),
        "measurements": rounds,
    }
    text = json.dumps(report, indent=2)
    options.out.write_text(text + "\n")
    if options.json:
        print(text)
    else:
        print_table(report)


if __name__ == "__main__":
    main()
