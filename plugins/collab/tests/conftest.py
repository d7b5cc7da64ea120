"""collab with what it requires, served in this process over real sockets."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import websocket
from flask import Flask
from treenail.testing import Caller, TestTenant
from treenail_collab.live.interfaces import DocumentKey
from treenail_collab.live.testing import Member
from werkzeug.serving import WSGIRequestHandler, make_server


class Quiet(WSGIRequestHandler):
    """Without a line on stderr for each request."""

    def log_request(self, *args: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def environ() -> dict[str, str]:
    """collab, workspaces and rbac."""
    return {"TREENAIL_PLUGINS": "rbac,workspaces,collab"}


@pytest.fixture(scope="module")
def sockets(app: Flask) -> Iterator[str]:
    """The app on a free port; the address below which documents are opened."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"ws://127.0.0.1:{server.port}/api/v1/collab"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def eventually() -> Callable[[Callable[[], Any]], None]:
    """Wait until something is so."""

    def wait(condition: Callable[[], Any], seconds: float = 5) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.005)

    return wait


@dataclass
class Board:
    """A document of a tenant, and the sockets on which it is open."""

    tenant: TestTenant
    sockets: str
    workspace: str
    id: str
    members: list[Member] = field(default_factory=list)

    @property
    def key(self) -> DocumentKey:
        """Its name in the journal."""
        return DocumentKey(self.tenant.id, self.id)

    def share(self, person: Caller, role: str) -> None:
        """Give somebody a role on the document."""
        path = f"/documents/{self.id}/grants/{person.user_id}"
        assert self.tenant.owner.put(path, {"role": role}).status == 200

    def person(self, role: str) -> Caller:
        """A member of the tenant who has a role on the document."""
        person = self.tenant.member()
        self.share(person, role)
        return person

    def token(self, person: Caller) -> str:
        """A token for the document's socket."""
        answer = person.post(f"/documents/{self.id}/collab-token", {})
        assert answer.status == 200, answer.json
        return str(answer.json["token"])

    def open(self, person: Caller | None = None, room: str = "", token: str = "") -> Member:
        """A socket of a person's, by default the owner's."""
        token = token or self.token(person or self.tenant.owner)
        client = websocket.create_connection(f"{self.sockets}/{room or self.id}?token={token}")
        self.members.append(Member(client.sock))
        return self.members[-1]

    def content(self) -> Any:
        """What the API says is in it."""
        return self.tenant.owner.get(f"/documents/{self.id}/content").json

    def close(self) -> None:
        """Let go of all sockets."""
        while self.members:
            self.members.pop().close()


@pytest.fixture
def make_board(tenant: TestTenant, sockets: str) -> Iterator[Callable[..., Board]]:
    """Make documents, in a tenant and mode of one's choice."""
    made: list[Board] = []

    def make(of: TestTenant = tenant, mode: str = "crdt") -> Board:
        workspace = of.owner.post("/workspaces", {"name": "Joinery"}).json["id"]
        body = {"title": "Roof", "kind": "board", "mode": mode}
        answer = of.owner.post(f"/workspaces/{workspace}/documents", body)
        made.append(Board(of, sockets, workspace, answer.json["id"]))
        return made[-1]

    yield make
    for board in made:
        board.close()


@pytest.fixture
def board(make_board: Callable[..., Board]) -> Board:
    """A document of the tenant's owner."""
    return make_board()
