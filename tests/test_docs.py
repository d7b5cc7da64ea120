"""What the documentation says is what happens."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from journey import JS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def block(language: str) -> str:
    return re.search(rf"```{language}\n(.*?)```", README, re.S)[1]


def test_the_reference_is_fresh():
    command = [sys.executable, ROOT / "docs" / "generate.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_the_tour_of_the_readme_goes_as_written(server, node, tmp_path):
    for tool in ("curl", "jq", "bash"):
        if shutil.which(tool) is None:
            required = os.environ.get("TREENAIL_TEST_SERVICES") == "1"
            (pytest.fail if required else pytest.skip)(f"SKIPPED WITHOUT SERVICES: no {tool}")
    data = Path(server.settings["TREENAIL_DATA"])
    script = block("sh").replace("http://127.0.0.1:8000", server.url).replace("var/", f"{data}/")
    script += '\necho; echo "board=$board"; echo "me=$me"'
    done = subprocess.run(["bash", "-e"], input=script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert '"allowed":true' in done.stdout
    assert "invites you to Ash & Oak" in done.stdout
    board, me = re.search(r"board=(\S+)\nme=Authorization: (.+)", done.stdout).groups()
    run_javascript(server.url, board, me)
    address = f"{server.url}/api/v1/documents/{board}/content"
    read = subprocess.run(
        ["curl", "-s", address, "-H", f"Authorization: {me}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Measure twice" in read.stdout


def run_javascript(url: str, board: str, authorization: str) -> None:
    head = f"""
import WebSocket from 'ws'
globalThis.WebSocket ??= WebSocket
const api = '{url}/api/v1', board = '{board}'
const headers = {{ Authorization: '{authorization}', 'Content-Type': 'application/json' }}
"""
    tail = "\nsetTimeout(() => process.exit(provider.synced ? 0 : 1), 1500)"
    code = head + block("js")
    script = JS / f".readme-{os.getpid()}.mjs"
    script.write_text(code + tail)
    try:
        subprocess.run(["node", script], check=True, timeout=30)
    finally:
        script.unlink()


def test_every_hook_has_a_line_in_the_reference():
    from treenail.hookspecs import PluginSpec

    text = (ROOT / "docs" / "reference.md").read_text()
    for name in vars(PluginSpec):
        assert name.startswith("_") or f"`{name}(" in text


def test_nothing_names_a_registry_or_a_path_of_one_machine():
    hosts = r"(pypi|pythonhosted|npmjs)\.(org|com)"
    done = subprocess.run(
        ["git", "grep", "-lIE", hosts], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout.replace("tests/test_docs.py\n", "") == ""
