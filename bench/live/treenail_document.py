"""Makes a document on a running Treenail, over its REST interface, for the live benchmark."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from uuid import uuid4


@dataclass(frozen=True)
class Document:
    """A document and a token that opens any number of its sockets."""

    id: str
    token: str


class Client:
    """A signed-in person's JSON requests."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.headers = {"Content-Type": "application/json"}

    def post(self, path: str, **body: str) -> dict[str, Any]:
        """POST ``body`` to a path under ``/api/v1`` and return the answer's JSON."""
        url = f"{self.base_url}/api/v1{path}"
        request = Request(url, json.dumps(body).encode(), self.headers, method="POST")
        try:
            with urlopen(request, timeout=30) as answer:
                parsed: dict[str, Any] = json.load(answer)
        except HTTPError as refusal:
            detail = refusal.read().decode(errors="replace")
            raise RuntimeError(f"POST {url}: {refusal.code} {detail}") from refusal
        return parsed


def open_document(base_url: str) -> Document:
    """A new person, tenant, workspace and board at ``base_url`` (``http://host:port``)."""
    client = Client(base_url)
    person = {"email": f"bench-{uuid4().hex}@example.org", "password": f"pw-{uuid4().hex}"}
    client.post("/auth/register", **person, name="Bench")
    login = client.post("/auth/login", **person)
    client.headers["Authorization"] = f"Bearer {login['accessToken']}"
    client.headers["X-Tenant-Id"] = client.post("/tenants", name="Bench")["id"]
    workspace = client.post("/workspaces", name="Bench")["id"]
    document = client.post(f"/workspaces/{workspace}/documents", title="Bench", kind="board")["id"]
    token = client.post(f"/documents/{document}/collab-token")["token"]
    return Document(document, token)
