"""Treenail as integrators start it: ``treenail serve``, SQLite, every default plugin."""

import json
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from load import Requests
from sqlalchemy import Engine, FromClause, Table, create_engine, insert
from treenail.ids import uuid7
from treenail_rbac.models import Grant
from treenail_workspaces.models import Document, title_key

from peers import dataset
from peers.peer import Peer, Plan, must

API = "/api/v1"
BATCH = 5_000
Row = dict[str, Any]


class Treenail(Peer):
    """The reader owns the tenant, as a peer's reader is a member who may read all of it.

    A document has no body here: its 300 characters stand in the title.
    """

    name = "treenail"

    def prepare(self, data: Path) -> Plan:
        """People, tenants and a foreign document through the API, the 10,000 as rows."""
        with self.running(data) as server:
            stranger = self._person(server.base, dataset.OTHER)
            other = self._room(server.base, stranger)[0]
            foreign = self._document(server.base, stranger, other)
            workspace, tenant, user = self._room(server.base, dict(server.headers))
        ids = self._fill(data, tenant, workspace, user)
        create = json.dumps({"title": dataset.body(0), "kind": "board"})
        tasks = {
            "read": Requests("GET", [f"{API}/documents/{ids[n]}" for n in dataset.READ]),
            "list": Requests("GET", [f"{API}/documents?sort=-updatedAt&limit=50"]),
            "create": Requests("POST", [_documents(workspace)], create),
        }
        refused = (
            Requests("GET", [f"{API}/documents/{foreign}"]),
            Requests("POST", [_documents(other)], create),
        )
        return Plan(tasks, refused)

    def command(self, data: Path, port: int) -> list[str]:
        """``treenail serve``."""
        return [sys.executable, "-m", "treenail", "serve", "--migrate"]

    def environment(self, data: Path, port: int) -> dict[str, str]:
        """No rate limits; no request log either, as nobody else writes one."""
        return {
            "PORT": str(port),
            "TREENAIL_DATA": str(data),
            "TREENAIL_RATE_LIMITS": "off",
            "TREENAIL_LOG_LEVEL": "WARNING",
        }

    def sign_in(self, base: str) -> dict[str, str]:
        """A new session, for the person who is made when missing."""
        return self._person(base, dataset.EMAIL)

    def _person(self, base: str, email: str) -> dict[str, str]:
        person = {"email": email, "password": dataset.PASSWORD}
        # Whoever registers again is told nothing else than the first time.
        must("POST", f"{base}{API}/auth/register", {**person, "name": "Bench"})
        found = must("POST", f"{base}{API}/auth/login", person)
        return {"Authorization": f"Bearer {found['accessToken']}"}

    def _room(self, base: str, headers: dict[str, str]) -> tuple[str, str, str]:
        tenant = must("POST", f"{base}{API}/tenants", {"name": "Bench"}, headers)["id"]
        workspace = must("POST", f"{base}{API}/workspaces", {"name": "Bench"}, headers)["id"]
        user = must("GET", f"{base}{API}/me", None, headers)["user"]["id"]
        return workspace, tenant, user

    def _document(self, base: str, headers: dict[str, str], workspace: str) -> str:
        body = {"title": "Secret", "kind": "board"}
        return str(must("POST", base + _documents(workspace), body, headers)["id"])

    def _fill(self, data: Path, tenant: str, workspace: str, user: str) -> list[str]:
        ids = [uuid7() for _ in range(dataset.DOCUMENTS)]
        engine = create_engine(f"sqlite:///{data / 'treenail.db'}")
        load(engine, Document.__table__, documents(ids, tenant, workspace, user))
        load(engine, Grant.__table__, (grant(tenant, user, one, "owner", user) for one in ids))
        engine.dispose()
        return ids


def _documents(workspace: str) -> str:
    return f"{API}/workspaces/{workspace}/documents"


def documents(ids: list[str], tenant: str, workspace: str, user: str) -> Iterator[Row]:
    """The rows of the documents, as the platform writes them."""
    for one, made in zip(ids, dataset.documents(), strict=True):
        yield {
            "id": one,
            "tenant_id": tenant,
            "workspace_id": workspace,
            "title": made.body,
            "title_key": title_key(made.body),
            "kind": "board",
            "mode": "crdt",
            "created_by": user,
            "created_at": made.updated,
            "updated_at": made.updated,
        }


def grant(tenant: str, user: str, document: str, role: str, by: str) -> Row:
    """The row of a grant on a document; whoever makes a document gets one."""
    return {
        "id": uuid7(),
        "tenant_id": tenant,
        "user_id": user,
        "resource_type": "document",
        "resource_id": document,
        "role": role,
        "granted_by": by,
        "created_at": dataset.START,
    }


def load(engine: Engine, table: FromClause, rows: Iterable[Row]) -> None:
    """Insert many rows straight into a table of the platform."""
    assert isinstance(table, Table)
    remaining = iter(rows)
    with engine.begin() as connection:
        while batch := list(islice(remaining, BATCH)):
            connection.execute(insert(table), batch)
