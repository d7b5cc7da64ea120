"""``treenail plugins new``: what it writes works as it is, and bad names write nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from program import install, treenail
from treenail.cli import scaffold
from treenail.testing import LiveServer

NAMES = {"oak": None, "field_gates": None, "a2345678901234567890": "b2345678901234567890"}


def write(folder: Path, *words: str) -> tuple[int, str]:
    settings = {"TREENAIL_DATA": str(folder / "data")}
    done = treenail(settings, "plugins", "new", *words, "--into", str(folder))
    return done.code, done.error


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with new plugins in it, one with the longest names there are."""
    folder = tmp_path_factory.mktemp("new")
    assert write(folder, "oak") == (0, "")
    for name, thing in NAMES.items():
        if name != "oak":
            scaffold.write(name, thing, folder)
        install(folder / "site", name, f"{name}.plugin:{name.title().replace('_', '')}")
    return folder


def environ(folder: Path) -> dict[str, str]:
    """Of a process that finds them installed."""
    return {"PYTHONPATH": ":".join(str(folder / name) for name in ("site", *NAMES))}


def run(folder: Path, *words: str) -> None:
    command = [sys.executable, "-m", *words]
    path = environ(folder.parent)
    done = subprocess.run(
        command, cwd=folder, env=os.environ | path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["oak"])
def test_its_own_tests_pass(written: Path, name: str):
    run(written / name, "pytest", "-q", "-p", "no:cacheprovider", "-k", "sqlite")


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_whatever_its_name_its_tests_pass_on_both_databases_and_its_types_fit(written, name):
    run(written / name, "pytest", "-q", "-p", "no:cacheprovider")
    run(written / name, "mypy")


@pytest.mark.parametrize("name", NAMES)
def test_it_is_well_formed(written: Path, name: str):
    run(written / name, "ruff", "check", "--no-cache", ".")
    run(written / name, "ruff", "format", "--no-cache", "--check", ".")


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_they_migrate_are_well_and_served_beside_ours(written: Path, deployment):
    enabled = {"TREENAIL_PLUGINS": ",".join(("auth", "rbac", *NAMES))}
    settings = deployment | environ(written) | enabled
    with LiveServer(settings) as server:
        assert server.call("GET", "//readyz") == (200, {"status": "ok", "failures": []})
        assert server.call("GET", "/field-gates")[0] == 401
    assert treenail(settings, "plugins", "check") == (0, "6 plugins are well\n", "")


BAD = {
    "Oak": "'Oak' won't do",
    "oak-tree": "'oak-tree' won't do",
    "oak__tree": "'oak__tree' won't do",
    "2oaks": "'2oaks' won't do",
    "a23456789012345678901": "'a23456789012345678901' won't do",
    "class": "'class' won't do",
    "../oak": "'../oak' won't do",
    "core": "there is a plugin core",
    "rbac": "there is a plugin rbac",
    "injected": "there is a plugin injected",
    "json": "json is the name of a Python module",
    "treenail": "treenail is the name of a Python module",
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_name_writes_nothing(tmp_path: Path, name: str):
    with pytest.raises(scaffold.BadName, match=f"^{BAD[name]}"):
        scaffold.write(name, None, tmp_path)
    with pytest.raises(scaffold.BadName, match="'Leaf' won't do"):
        scaffold.write("oak", "Leaf", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_not_written_over(tmp_path: Path):
    (tmp_path / "oak").mkdir()
    assert write(tmp_path, "oak") == (1, f"Error: {tmp_path / 'oak'}: File exists\n")
    code, error = write(tmp_path, "Oak")
    assert (code, error.count("\n")) == (1, 1)
    assert list(tmp_path.rglob("*")) == [tmp_path / "oak"]
