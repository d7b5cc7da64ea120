"""Treenail's REST interface against its peers: the same data, the same generator, one run.

The server on one processor, wrk with eight connections on another; every round measures each
peer once on a fresh copy of its data, so that a ratio is of neighbours in time.
"""

import argparse
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from load import Measurement, cpus, measure, pinned, require_wrk
from peers import PEERS, CannotInstall, Peer, Plan
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from targets import Outcome, judge

HERE = Path(__file__).parent
TASKS = ("read", "list", "create")
METRICS = {"rps": "requests/s", "p50": "p50 ms", "p99": "p99 ms", "cpu": "CPU µs"}

Round = dict[tuple[str, str], Measurement]
"""What one round measured, by peer and task."""


@dataclass(frozen=True)
class Stage:
    """A peer that is ready: its data, to be copied, and what is asked of it."""

    peer: Peer
    data: Path
    plan: Plan


def say(text: str) -> None:
    """Tell how far it is."""
    print(text, file=sys.stderr, flush=True)


def set_up(names: Sequence[str], cache: Path, folder: Path) -> tuple[list[Stage], dict[str, str]]:
    """Install, fill and check the peers; those that can't be had, with the reason."""
    stages, skipped = [], {}
    cache.mkdir(parents=True, exist_ok=True)
    for name in names:
        peer, data = PEERS[name], folder / name
        data.mkdir()
        say(f"{name}: installing, filling, checking")
        try:
            peer.install(cache)
        except CannotInstall as error:
            skipped[name] = str(error)
            say(f"{name}: SKIPPED, can't be installed: {error}")
            continue
        stage = Stage(peer, data, peer.prepare(data))
        with TemporaryDirectory(dir=folder) as copy, stage.peer.running(_copy(data, copy)) as one:
            peer.check(one, stage.plan)
        stages.append(stage)
    return stages, skipped


def measure_peer(stage: Stage, tasks: Sequence[str], seconds: int, folder: Path) -> Round:
    """Every task once, on a fresh copy of the data; creating comes last, for it changes them."""
    found: Round = {}
    with TemporaryDirectory(dir=folder) as copy:
        data = _copy(stage.data, copy)
        with stage.peer.running(data, pinned(cpus()[0])) as one:
            for task in tasks:
                if requests := stage.plan.tasks.get(task):
                    key = (stage.peer.name, task)
                    found[key] = measure(one.pid, one.base, one.headers, requests, seconds)
    return found


def turns(rounds: int, stages: list[Stage]) -> Iterator[tuple[int, Stage]]:
    """Every round's peers, in the order they are measured."""
    for number in range(rounds):
        # Every other round in reverse, so that nobody always has the cooler machine.
        for stage in stages[::-1] if number % 2 else stages:
            yield number, stage


def medians(rounds: list[Round]) -> dict[str, dict[str, dict[str, float]]]:
    """By task, peer and metric."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name, task in sorted(rounds[0]):
        values = [asdict(one[name, task]) for one in rounds]
        of_task = found.setdefault(task, {})
        of_task[name] = {metric: median(value[metric] for value in values) for metric in METRICS}
    return found


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
    }


def print_report(report: dict[str, Any], outcomes: list[Outcome]) -> None:
    """The report for people."""
    console = Console()
    title = f"REST, medians of {report['rounds']} rounds of {report['seconds']} s"
    table = Table("task", "peer", title=title)
    for label in METRICS.values():
        table.add_column(label, justify="right")
    for task in TASKS:
        for name, figures in report["medians"].get(task, {}).items():
            table.add_row(task, name, *(_figure(figures[metric]) for metric in METRICS))
        table.add_section()
    console.print(table)
    for name, reason in report["skipped"].items():
        console.print(f"[bold yellow]{name} was SKIPPED:[/] {escape(reason)}", highlight=False)
    print_targets(console, outcomes)


def print_targets(console: Console, outcomes: Sequence[Outcome]) -> None:
    """What was to be reached, and what was; nothing where nothing could be compared."""
    if not outcomes:
        return
    table = Table("target", title="targets")
    for label in ("wanted", "found", ""):
        table.add_column(label, justify="right")
    for one in outcomes:
        mark = "[green]met[/]" if one.met else "[bold red]missed[/]"
        table.add_row(one.label, one.wanted, _figure(one.found), mark)
    console.print(table)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def _copy(data: Path, folder: str) -> Path:
    return Path(shutil.copytree(data, Path(folder) / "data"))


def names(text: str) -> list[str]:
    """The peers of a comma-separated list; raises for one that isn't there."""
    found = text.split(",")
    if unknown := [name for name in found if name not in PEERS]:
        raise argparse.ArgumentTypeError(f"no peer {unknown[0]}; there are {', '.join(PEERS)}")
    return found


def at_least(least: int) -> Callable[[str], int]:
    """A reader of whole numbers that refuses lesser ones."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text} is not a whole number from {least} up")
        return int(text)

    return read


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=at_least(1), default=8, help="of a measured window")
    parser.add_argument("--rounds", type=at_least(1), default=3, help="whose medians are taken")
    parser.add_argument("--only", type=names, default=list(PEERS), help="peers, by comma")
    parser.add_argument("--task", choices=TASKS, help="one task alone")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the tables")
    parser.add_argument("--cache", type=Path, default=HERE / "var", help="where peers are kept")
    parser.add_argument("--out", type=Path, help="a file for the JSON")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print; 1 when a target is missed."""
    options = parse(arguments)
    require_wrk()
    tasks = [options.task] if options.task else TASKS
    rounds: list[Round] = [{} for _ in range(options.rounds)]
    with TemporaryDirectory(prefix="bench-rest-") as directory:
        folder = Path(directory)
        stages, skipped = set_up(options.only, options.cache.absolute(), folder)
        for number, stage in turns(options.rounds, stages):
            say(f"round {number + 1}: {stage.peer.name}")
            rounds[number] |= measure_peer(stage, tasks, options.seconds, folder)
    outcomes = judge(rounds)
    report = {
        "machine": machine(),
        "seconds": options.seconds,
        "rounds": options.rounds,
        "medians": medians(rounds),
        "skipped": skipped,
        "targets": [{**asdict(one), "met": one.met} for one in outcomes],
        "measurements": [
            {f"{name} {task}": asdict(figures) for (name, task), figures in one.items()}
            for one in rounds
        ],
    }
    text = json.dumps(report, indent=2)
    if options.out:
        options.out.write_text(text + "\n")
    if options.json:
        print(text)
    else:
        print_report(report, outcomes)
    return int(not all(one.met for one in outcomes))


if __name__ == "__main__":
    sys.exit(main())
