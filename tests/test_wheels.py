"""Wheels of everything, installed in a clean environment far from the repository, and used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from email import message_from_bytes
from email.policy import SMTP
from pathlib import Path
from typing import Any

import pytest
from program import ROOT
from treenail.registry import FIRST_PARTY
from treenail.testing.server import free_port

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
NAMES = ("auth", "rbac", "workspaces", "collab", "audit", "greetings", "oak")


class Site:
    """A virtual environment with nothing of ours but wheels, and a deployment in its own folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.bin = folder / "venv" / "bin"
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("TREENAIL_", "PYTHON"))}
        self.environ = kept | {
            "TREENAIL_DATA": str(folder / "data"),
            "TREENAIL_PLUGINS": ",".join(NAMES),
            "TREENAIL_AUTH_BCRYPT_ROUNDS": "4",
            "PORT": str(self.port),
        }

    def run(self, *words: str, cwd: str = ".", **environ: str) -> str:
        """Run something of the environment; returns what it said."""
        command = [self.bin / words[0], *words[1:]]
        place, given = self.folder / cwd, self.environ | environ
        done = subprocess.run(command, cwd=place, env=given, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    def install(self, *what: str) -> None:
        """Ours by file, never by a name that a registry could know; what they need from there."""
        limits = ("-q", "--disable-pip-version-check", "-c", str(ROOT / "constraints.txt"))
        self.run("pip", "install", *limits, *what)

    def wheel(self, name: str) -> str:
        """The file of a distribution."""
        (found,) = (self.folder / "dist").glob(f"{name}-*.whl")
        return str(found)

    def call(self, method: str, path: str, body: Any = None, token: str = "") -> Any:
        """The answer, parsed where it is JSON."""
        url = f"http://127.0.0.1:{self.port}{path}"
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, headers if token or data else {}, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            read = answer.read()
            return json.loads(read) if "json" in answer.headers["Content-Type"] else read.decode()

    def mails(self) -> list[Any]:
        found = sorted((self.folder / "data" / "mail").glob("*.eml"))
        return [message_from_bytes(path.read_bytes(), policy=SMTP) for path in found]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Everything of ours and two strangers' plugins, one of them new, from wheels alone."""
    made = Site(tmp_path_factory.mktemp("site"))
    dist = f"DIST={made.folder / 'dist'}"
    subprocess.run(["make", "wheels", dist], cwd=ROOT, check=True, capture_output=True)
    subprocess.run([sys.executable, "-m", "venv", made.folder / "venv"], check=True)
    made.install(*map(str, (made.folder / "dist").glob("*.whl")))
    made.run("treenail", "plugins", "new", "oak", TREENAIL_PLUGINS="")
    made.install("hatchling")
    for source in (ROOT / "examples" / "greetings", made.folder / "oak"):
        build = ("--no-deps", "--no-build-isolation", "-w", str(made.folder / "dist"))
        made.run("pip", "wheel", "-q", *build, str(source))
    made.install(made.wheel("greetings"), f"{made.wheel('oak')}[tests]")
    return made


@pytest.fixture(scope="module")
def served(site: Site) -> Any:
    site.run("treenail", "db", "upgrade")
    log = site.folder / "server.log"
    with open(log, "w") as out:
        command = [site.bin / "treenail", "serve"]
        process = subprocess.Popen(command, cwd=site.folder, env=site.environ, stderr=out)
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        try:
            site.call("GET", "/healthz")
            break
        except OSError:
            time.sleep(0.1)
    assert process.poll() is None, log.read_text()
    yield site
    process.terminate()
    process.wait(20)


def test_nothing_comes_from_the_repository(site: Site):
    told = site.run("python", "-c", "import sys, treenail, treenail_collab, greetings;"
                    "print(*sys.path, treenail.__file__, greetings.__file__)")  # fmt: skip
    assert str(ROOT) not in told


def test_every_plugin_is_there_and_well(served: Site):
    rows = {row["name"]: row for row in json.loads(site_list(served))}
    assert {"core", *FIRST_PARTY, "greetings", "oak"} == rows.keys()
    assert {row["state"] for row in rows.values()} == {"enabled"}
    assert all(row["revision"] == row["head"] for row in rows.values())
    assert served.run("treenail", "plugins", "check") == "8 plugins are well\n"
    assert served.call("GET", "/readyz") == {"status": "ok", "failures": []}


def site_list(site: Site) -> str:
    return site.run("treenail", "plugins", "list", "--json")


def test_somebody_registers_logs_in_and_makes_a_document(served: Site):
    api, who = "/api/v1", {"email": "ann@example.com", "password": "treenail holds timber"}
    served.call("POST", f"{api}/auth/register", who | {"name": "Ann Oak"})
    token = served.call("POST", f"{api}/auth/login", who)["accessToken"]
    served.call("POST", f"{api}/tenants", {"name": "Ash & Oak"}, token)
    workspace = served.call("POST", f"{api}/workspaces", {"name": "Joinery"}, token)["id"]
    kanban = {"name": "Kanban", "kind": "board", "content": {"objects": {"a": {"x": 1}}}}
    template = served.call("POST", f"{api}/workspaces/{workspace}/templates", kanban, token)["id"]
    wanted = {"title": "Roof", "kind": "board", "templateId": template}
    document = served.call("POST", f"{api}/workspaces/{workspace}/documents", wanted, token)["id"]
    content = served.call("GET", f"{api}/documents/{document}/content", token=token)
    assert content["objects"] == {"a": {"x": 1}}
    assert served.call("POST", f"{api}/documents/{document}/collab-token", {}, token)["token"]
    assert served.call("POST", f"{api}/oaks", {"title": "Beam"}, token)["title"] == "Beam"
    me = served.call("GET", f"{api}/me", token=token)["user"]
    greeting = {"recipientId": me["id"], "words": "The roof is up!"}
    assert served.call("POST", f"{api}/greetings", greeting, token)["words"] == "The roof is up!"
    tenant = f"{api}/tenants/{me['tenantId']}"
    invited = {"email": "bob@example.com", "role": "member"}
    assert served.call("POST", f"{tenant}/invitations", invited, token)["id"]


def test_mails_are_written_from_their_templates(served: Site):
    until = time.monotonic() + 10
    while len(served.mails()) < 3 and time.monotonic() < until:
        time.sleep(0.1)
    mails = {mail["To"]: mail for mail in served.mails() if mail.get_body(("html",))}
    assert {"ann@example.com", "bob@example.com"} <= mails.keys()
    assert "Ash &amp; Oak" in mails["bob@example.com"].get_body(("html",)).get_content()


def test_the_api_is_described_and_browsed_offline(served: Site):
    paths = served.call("GET", "/api/v1/openapi.json")["paths"]
    assert {"/api/v1/documents", "/api/v1/greetings", "/api/v1/oaks"} <= paths.keys()
    page = served.call("GET", "/api/v1/docs")
    assert "swagger" in page.lower()
    for name in ("swagger-ui.css", "swagger-ui-bundle.js"):
        assert len(served.call("GET", f"/api/v1/docs/{name}")) > 10_000


def test_a_new_plugin_passes_its_own_tests_with_the_kit_of_the_wheel(site: Site):
    said = site.run("pytest", "-q", "-p", "no:cacheprovider", "-k", "sqlite", "oak/tests")
    assert "8 passed" in said
