"""PocketBase: one Go program with SQLite inside; a collection's rule joins the members."""

import json
import sqlite3
import subprocess
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from load import Requests

from peers import dataset
from peers.peer import Peer, Plan, must, pip_install

API = "/api/collections"
RECORDS = f"{API}/documents/records"
MEMBERS = "tenant.members_via_tenant.user ?= @request.auth.id"
ADMIN = "admin@bench.example.org"
Field = dict[str, object]


class PocketBase(Peer):
    """From its wheel; ids, tokens and journal as it makes them by itself."""

    name = "pocketbase"

    def __init__(self) -> None:
        self.program = Path()

    def install(self, cache: Path) -> None:
        """The program comes in a wheel."""
        self.program = pip_install("pocketbase", cache) / "bin" / "pocketbase"

    def prepare(self, data: Path) -> Plan:
        """Collections and people through the API, the documents as rows."""
        admin = ["superuser", "upsert", ADMIN, dataset.PASSWORD, "--dir", str(data / "pb")]
        subprocess.run([str(self.program), *admin], check=True, capture_output=True)
        with self.running(data) as server:
            base, headers = server.base, self._log_in(server.base, "_superusers", ADMIN)
            self._define(base, headers)
            tenants = [self._tenant(base, headers, one) for one in (dataset.EMAIL, dataset.OTHER)]
        ids = self._fill(data / "pb" / "data.db", tenants)
        of_tenant = quote(f'tenant="{tenants[0]}"')
        listing = f"{RECORDS}?perPage=50&skipTotal=1&sort=-updated&filter={of_tenant}"
        bodies = [
            json.dumps({"tenant": tenant, "title": "Made", "body": dataset.body(0)})
            for tenant in tenants
        ]
        tasks = {
            "read": Requests("GET", [f"{RECORDS}/{ids[n]}" for n in dataset.READ]),
            "list": Requests("GET", [listing]),
            "create": Requests("POST", [RECORDS], bodies[0]),
        }
        foreign = (
            Requests("GET", [f"{RECORDS}/{ids[-1]}"]),
            Requests("POST", [RECORDS], bodies[1]),
        )
        return Plan(tasks, foreign)

    def command(self, data: Path, port: int) -> list[str]:
        """``pocketbase serve``."""
        where = ["--dir", str(data / "pb"), f"--http=127.0.0.1:{port}"]
        return [str(self.program), "serve", *where, "--automigrate=false"]

    def sign_in(self, base: str) -> dict[str, str]:
        """A new token; before there is anybody, none."""
        try:
            return self._log_in(base, "users", dataset.EMAIL)
        except RuntimeError:
            return {}

    def _log_in(self, base: str, kind: str, email: str) -> dict[str, str]:
        person = {"identity": email, "password": dataset.PASSWORD}
        token = must("POST", f"{base}{API}/{kind}/auth-with-password", person)["token"]
        return {"Authorization": token}

    def _define(self, base: str, headers: dict[str, str]) -> None:
        """The collections and their rules; no request log, as nobody else writes one."""
        must("PATCH", f"{base}/api/settings", {"logs": {"maxDays": 0}}, headers)
        users = must("GET", f"{base}{API}/users", None, headers)["id"]
        tenants = self._collection(base, headers, "tenants", [{"name": "name", "type": "text"}])
        members = [_relation("tenant", tenants), _relation("user", users)]
        unique = ["CREATE UNIQUE INDEX members_once ON members (tenant, user)"]
        self._collection(base, headers, "members", members, indexes=unique)
        fields: list[Field] = [
            _relation("tenant", tenants),
            {"name": "title", "type": "text"},
            {"name": "body", "type": "text"},
            {"name": "created", "type": "autodate", "onCreate": True},
            {"name": "updated", "type": "autodate", "onCreate": True, "onUpdate": True},
        ]
        rules = dict.fromkeys(("listRule", "viewRule", "createRule"), MEMBERS)
        by_change = ["CREATE INDEX documents_by_change ON documents (tenant, updated)"]
        self._collection(base, headers, "documents", fields, indexes=by_change, **rules)

    def _collection(
        self,
        base: str,
        headers: dict[str, str],
        name: str,
        fields: list[Field],
        **more: object,
    ) -> str:
        made = {"name": name, "type": "base", "fields": fields, **more}
        return str(must("POST", f"{base}{API}", made, headers)["id"])

    def _tenant(self, base: str, headers: dict[str, str], email: str) -> str:
        def make(kind: str, **fields: str) -> str:
            return str(must("POST", f"{base}{API}/{kind}/records", fields, headers)["id"])

        words = {"password": dataset.PASSWORD, "passwordConfirm": dataset.PASSWORD}
        user, tenant = make("users", email=email, **words), make("tenants", name="Bench")
        make("members", tenant=tenant, user=user)
        return tenant

    def _fill(self, database: Path, tenants: list[str]) -> list[str]:
        """Insert the documents, and last the foreign one; returns their ids."""
        rows = [
            (f"d{one.number:014}", tenants[0], one.title, one.body, _text(one.updated))
            for one in dataset.documents()
        ]
        rows.append(("f00000000000000", tenants[1], "Secret", "", _text(dataset.START)))
        with sqlite3.connect(database) as connection:
            connection.executemany(
                "INSERT INTO documents (id, tenant, title, body, created, updated)"
                " VALUES (?, ?, ?, ?, ?5, ?5)",
                rows,
            )
        connection.close()
        return [row[0] for row in rows]


def _relation(name: str, collection: str) -> Field:
    more = {"collectionId": collection, "maxSelect": 1, "cascadeDelete": True}
    return {"name": name, "type": "relation", "required": True, **more}


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S.000Z")
