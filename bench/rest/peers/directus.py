"""Directus 11, the last line with item rules for everybody, on Node and SQLite."""

import json
import shutil
import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from load import Requests

from peers import dataset
from peers.peer import APPS, Peer, Plan, must, run

PROJECT = APPS / "directus" / "package.json"
ITEMS = "/items/documents"
ADMIN = "admin@bench.example.org"
READABLE = {"tenant": {"members": {"user": {"_eq": "$CURRENT_USER"}}}}
WRITABLE = {"tenant": {"_in": "$CURRENT_USER.memberships.tenant"}}
Made = dict[str, Any]


class Directus(Peer):
    """Rate, pressure and cache limits off, its caches of schema and permissions on as shipped."""

    name = "directus"
    items = "data"

    def __init__(self) -> None:
        self.folder = Path()

    def install(self, cache: Path) -> None:
        """npm's packages; it takes minutes and half a gigabyte."""
        self.folder = cache / "directus"
        done = self.folder / "installed.json"
        if done.exists() and done.read_text() == PROJECT.read_text():
            return
        self.folder.mkdir(exist_ok=True)
        shutil.copy(PROJECT, self.folder / "package.json")
        run(["npm", "install", "--no-audit", "--no-fund", "--no-package-lock"], self.folder)
        shutil.copy(PROJECT, done)

    def prepare(self, data: Path) -> Plan:
        """Collections, rules and people through the API, the documents as rows."""
        run([*self._program(), "bootstrap"], data, self.environment(data, 0))
        with self.running(data) as server:
            admin = Administrator(server.base, self._log_in(server.base, ADMIN))
            admin.define()
            tenants = [admin.tenant(email) for email in (dataset.EMAIL, dataset.OTHER)]
        ids = fill(data / "directus.db", tenants)
        bodies = [
            json.dumps({"tenant": tenant, "title": "Made", "body": dataset.body(0)})
            for tenant in tenants
        ]
        listing = f"{ITEMS}?limit=50&sort=-updated&filter[tenant][_eq]={tenants[0]}"
        tasks = {
            "read": Requests("GET", [f"{ITEMS}/{ids[n]}" for n in dataset.READ]),
            "list": Requests("GET", [listing]),
            "create": Requests("POST", [ITEMS], bodies[0]),
        }
        foreign = (Requests("GET", [f"{ITEMS}/{ids[-1]}"]), Requests("POST", [ITEMS], bodies[1]))
        return Plan(tasks, foreign)

    def command(self, data: Path, port: int) -> list[str]:
        """``directus start``, one process."""
        return [*self._program(), "start"]

    def environment(self, data: Path, port: int) -> dict[str, str]:
        """Its database, and what it would else do beside answering."""
        off = (
            "RATE_LIMITER_ENABLED",
            "RATE_LIMITER_GLOBAL_ENABLED",
            "PRESSURE_LIMITER_ENABLED",
            "CACHE_ENABLED",
            "WEBSOCKETS_ENABLED",
            "TELEMETRY",
            "SERVE_APP",
        )
        return dict.fromkeys(off, "false") | {
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "DB_CLIENT": "sqlite3",
            "DB_FILENAME": str(data / "directus.db"),
            "SECRET": "bench-rest-secret-of-32-characters",
            "ADMIN_EMAIL": ADMIN,
            "ADMIN_PASSWORD": dataset.PASSWORD,
            "ACCESS_TOKEN_TTL": "1d",
            "LOG_LEVEL": "warn",
            "EXTENSIONS_PATH": str(data / "extensions"),
            "STORAGE_LOCAL_ROOT": str(data / "uploads"),
        }

    def sign_in(self, base: str) -> dict[str, str]:
        """A new token; before there is anybody, none."""
        try:
            return self._log_in(base, dataset.EMAIL)
        except RuntimeError:
            return {}

    def _program(self) -> list[str]:
        return ["node", str(self.folder / "node_modules" / "directus" / "cli.js")]

    def _log_in(self, base: str, email: str) -> dict[str, str]:
        person = {"email": email, "password": dataset.PASSWORD}
        token = must("POST", f"{base}/auth/login", person)["data"]["access_token"]
        return {"Authorization": f"Bearer {token}"}


class Administrator:
    """Makes collections, rules and people."""

    def __init__(self, base: str, headers: dict[str, str]) -> None:
        self.base, self.headers = base, headers
        self.role = ""

    def make(self, path: str, body: Made) -> Any:
        """Send one request; returns its data."""
        return must("POST", self.base + path, body, self.headers)["data"]

    def define(self) -> None:
        """Tables, how they hang together, and a role whose policy has an item rule."""
        self._collection("tenants", _field("name", "string"))
        self._collection("members", _field("tenant", "uuid"), _field("user", "uuid"))
        self._collection(
            "documents",
            _field("tenant", "uuid"),
            _field("title", "string"),
            _field("body", "text"),
            _field("created", "timestamp", "date-created"),
            _field("updated", "timestamp", "date-created", "date-updated"),
        )
        self._relation("members", "tenant", "tenants", "members")
        self._relation("members", "user", "directus_users", "memberships")
        self._relation("documents", "tenant", "tenants")
        self.role = self.make("/roles", {"name": "Member"})["id"]
        policy = self.make("/policies", {"name": "Member", "roles": [{"role": self.role}]})["id"]
        rule = {"policy": policy, "collection": "documents", "fields": ["*"]}
        self.make("/permissions", {**rule, "action": "read", "permissions": READABLE})
        self.make("/permissions", {**rule, "action": "create", "validation": WRITABLE})

    def tenant(self, email: str) -> str:
        """Make a person and a tenant of theirs; returns the tenant's id."""
        person = {"email": email, "password": dataset.PASSWORD, "role": self.role}
        user = self.make("/users", person)["id"]
        tenant = str(self.make("/items/tenants", {"name": "Bench"})["id"])
        self.make("/items/members", {"tenant": tenant, "user": user})
        return tenant

    def _collection(self, name: str, *fields: Made) -> None:
        key = _field("id", "uuid", "uuid") | {"schema": {"is_primary_key": True}}
        body = {"collection": name, "schema": {}, "meta": {}, "fields": [key, *fields]}
        self.make("/collections", body)

    def _relation(self, many: str, field: str, one: str, back: str | None = None) -> None:
        if back:
            self.make(f"/fields/{one}", _field(back, "alias", "o2m") | {"schema": None})
        relation = {"collection": many, "field": field, "related_collection": one}
        self.make("/relations", {**relation, "meta": {"one_field": back}, "schema": {}})


def fill(database: Path, tenants: list[str]) -> list[str]:
    """Insert the documents, and last the foreign one; returns their ids."""
    rows = [
        (str(uuid4()), tenants[0], one.title, one.body, _milliseconds(one.updated))
        for one in dataset.documents()
    ]
    rows.append((str(uuid4()), tenants[1], "Secret", "", _milliseconds(dataset.START)))
    with sqlite3.connect(database) as connection:
        # The other peers write this journal by themselves; here it is a property of the file.
        connection.execute("PRAGMA journal_mode=WAL")
        connection.executemany(
            "INSERT INTO documents (id, tenant, title, body, created, updated)"
            " VALUES (?, ?, ?, ?, ?5, ?5)",
            rows,
        )
        connection.execute("CREATE INDEX documents_by_change ON documents (tenant, updated)")
        connection.execute("CREATE INDEX members_of ON members (tenant, user)")
    connection.close()
    return [row[0] for row in rows]


def _field(name: str, kind: str, *special: str) -> Made:
    meta = {"special": list(special)} if special else {}
    return {"field": name, "type": kind, "meta": meta, "schema": {}}


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
