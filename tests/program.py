"""The program as a process, and distributions that stand on its path but are not ours."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    error: str


def start(environ: Mapping[str, str], *words: str) -> subprocess.Popen[str]:
    """Start ``treenail …`` with these settings and no others."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("TREENAIL_")}
    command = [sys.executable, "-m", "treenail", *words]
    out = subprocess.PIPE
    return subprocess.Popen(command, env={**kept, **environ}, stdout=out, stderr=out, text=True)


def ended(process: subprocess.Popen[str]) -> Done:
    """Wait for a command."""
    with process:
        out, error = process.communicate(timeout=60)
        return Done(process.returncode, out, error)


def treenail(environ: Mapping[str, str], *words: str) -> Done:
    """Run ``treenail …`` to its end."""
    return ended(start(environ, *words))


def install(site: Path, name: str, entry_point: str) -> None:
    """Make a folder of the path tell of a distribution with one plugin, as pip would."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[treenail.plugins]\n{name} = {entry_point}\n")
