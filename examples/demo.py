"""A demonstration: two tenants, their people, and documents with real content.

Starts Treenail on its own data, calls it as clients do, prints what to log in with, and goes
on serving until it is interrupted. A second run finds everything there.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import simple_websocket
from pycrdt import (
    Doc,
    Map,
    XmlElement,
    XmlFragment,
    XmlText,
    YMessageType,
    create_sync_message,
    create_update_message,
    handle_sync_message,
)
from rich.console import Console
from rich.table import Table
from treenail.testing import LiveServer

PASSWORD = "demo-treenail"  # noqa: S105  of a demonstration
TENANTS = {
    "Ash & Oak Carpentry": ("ann@ash.example", "bob@ash.example"),
    "Elm Design": ("eve@elm.example", "joe@elm.example"),
}
Rows = list[tuple[str, str, str]]


class Client:
    """Somebody who calls the API."""

    def __init__(self, server: LiveServer, email: str) -> None:
        self.server = server
        name = email.partition("@")[0].title()
        credentials = {"email": email, "password": PASSWORD}
        self.server.call("POST", "/auth/register", {**credentials, "name": name})
        _, found = self.server.call("POST", "/auth/login", credentials)
        self.token: str = found["accessToken"]

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        status, answer = self.server.call(method, path, body, self.token)
        if status >= 400:
            raise SystemExit(f"{method} {path}: {answer}")
        return answer


def main() -> None:
    """Set up, print, serve."""
    port = int(os.environ.get("PORT", "8000"))
    data = Path(os.environ.get("TREENAIL_DATA", "var/demo")).absolute()
    data.mkdir(parents=True, exist_ok=True)
    settings = {"TREENAIL_DATA": str(data), "TREENAIL_LOG_LEVEL": "WARNING"}
    with LiveServer(settings, port=port) as server:
        rows = [
            row for tenant, people in TENANTS.items() for row in furnish(server, tenant, people)
        ]
        show(server, rows)
        try:
            server.wait()
        except KeyboardInterrupt:
            sys.exit(0)


def furnish(server: LiveServer, tenant: str, people: tuple[str, ...]) -> Rows:
    """Make a tenant with a workspace, a board and a diagram, unless it is there."""
    clients = [Client(server, email) for email in people]
    owner = clients[0]
    mine = owner("GET", "/tenants")["items"]
    if not mine:
        mine = [owner("POST", "/tenants", {"name": tenant})]
        workspace = owner("POST", "/workspaces", {"name": "Joinery"})["id"]
        for kind, title in (("board", "Roof truss"), ("diagram", "How an order goes")):
            path = f"/workspaces/{workspace}/documents"
            document = owner("POST", path, {"title": title, "kind": kind})["id"]
            draw(owner, document, board if kind == "board" else diagram)
    return [(tenant, email, PASSWORD) for email in people]


def board(doc: Doc[Any]) -> None:
    """Some notes."""
    objects = doc.get("objects", type=Map)
    for number, text in enumerate(("Measure twice 📏", "Cut once 🪚", "قِس مرتين")):
        note = {"type": "note", "text": text, "x": 40.0 + 220 * number, "y": 60.0}
        objects[f"note-{number}"] = Map(note)


def diagram(doc: Doc[Any]) -> None:
    """Some steps."""
    steps = doc.get("diagram-xml", type=XmlFragment)
    for name in ("Order", "Drawing", "Workshop", "Site"):
        step = steps.children.append(XmlElement("step"))
        step.attributes["name"] = name
        step.children.append(XmlText(name))


def draw(client: Client, document: str, change: Any) -> None:
    """Edit a document as any client does: over its socket."""
    found = client("POST", f"/documents/{document}/collab-token", {})
    socket = simple_websocket.Client.connect(f"{found['url']}/{document}?token={found['token']}")
    doc: Doc[Any] = Doc()
    socket.send(create_sync_message(doc))
    synced = False
    while not synced:
        message = socket.receive()
        if message[0] == YMessageType.SYNC:
            synced = message[1] == 1
            if reply := handle_sync_message(message[1:], doc):
                socket.send(reply)
    before = doc.get_state()
    change(doc)
    socket.send(create_update_message(doc.get_update(before)))
    socket.send(create_sync_message(doc))
    socket.receive(timeout=5)
    socket.close()


def show(server: LiveServer, rows: Rows) -> None:
    """Print who can log in where."""
    table = Table("tenant", "e-mail", "password", title="Treenail, with something in it")
    for row in rows:
        table.add_row(*row)
    console = Console()
    console.print(table)
    console.print(f"API       {server.url}/api/v1")
    console.print(f"to browse {server.url}/api/v1/docs")
    console.print(f"mail      {server.settings['TREENAIL_DATA']}/mail/*.eml")


if __name__ == "__main__":
    main()
