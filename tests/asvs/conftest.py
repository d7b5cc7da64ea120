"""OWASP ASVS 5.0, requirement by requirement, on the whole platform: see docs/security.md."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select
from treenail.clock import utcnow
from treenail.db import db, system_session
from treenail.db.base import Model
from treenail.ids import uuid7
from treenail.testing import Client, TestTenant
from treenail.web import openapi
from treenail_auth.testing import Account, register


@pytest.fixture
def ann(client: Client) -> Account:
    return register(client)


@pytest.fixture
def bob(client: Client) -> Account:
    return register(client, name="Bob Elm")


@pytest.fixture
def after() -> Callable[..., AbstractContextManager[object]]:
    """A block that runs later, by as much as the arguments of a `timedelta` say."""
    return lambda **time: time_machine.travel(utcnow() + timedelta(**time))


@pytest.fixture
def mailed_token(mailbox: Callable[[str], list[str]]) -> Callable[[str, str], str]:
    """The token of the newest mail to an address whose link has that path."""

    def find(address: str, path: str) -> str:
        return re.findall(rf"/{path}\?token=(\S+)", "".join(mailbox(address)))[-1]

    return find


@dataclass(frozen=True)
class Operation:
    """One method on one address, as the API describes it."""

    method: str
    path: str
    about: dict[str, Any]
    fields: tuple[str, ...]
    """What its body may have."""

    @property
    def is_public(self) -> bool:
        return not self.about.get("security")

    def at(self, ids: dict[str, str]) -> str:
        """Its address, with these ids in it, as a `Client` wants it."""
        path = re.sub(r"\{(\w+)\}", lambda found: ids.get(found[1], uuid7()), self.path)
        return path.removeprefix("/api/v1") if path.startswith("/api/v1") else f"/{path}"


@pytest.fixture(scope="module")
def operations(app: Flask) -> list[Operation]:
    """Everything the API offers."""
    document = openapi.document(app, "0")
    schemas = document["components"]["schemas"]

    def fields(about: dict[str, Any]) -> tuple[str, ...]:
        [body] = about.get("requestBody", {}).get("content", {"": {}}).values()
        name = body.get("schema", {}).get("$ref", "").rpartition("/")[2]
        return tuple(schemas[name]["properties"]) if name else ()

    return [
        Operation(method.upper(), path, about, fields(about))
        for path, methods in document["paths"].items()
        for method, about in methods.items()
    ]


@pytest.fixture
def furnish(client: Client) -> Callable[[TestTenant], dict[str, str]]:
    """Make one of everything in a tenant; its ids by the names that paths give them."""

    def make(tenant: TestTenant) -> dict[str, str]:
        owner = tenant.owner
        workspace = _made(owner, "/workspaces", {"name": "Joinery"})
        board = {"title": "Roof", "kind": "board"}
        document = _made(owner, f"/workspaces/{workspace}/documents", board)
        template = {"name": "Plan", "kind": "board", "content": {"objects": {}}}
        mason = {"name": f"mason {uuid7()}", "permissions": ["tenant:read"]}
        guest = {"email": f"{uuid7()}@example.com", "role": "guest"}
        return {
            "tenant_id": tenant.id,
            "user_id": tenant.member().user_id,
            "workspace_id": workspace,
            "document_id": document,
            "template_id": _made(owner, f"/workspaces/{workspace}/templates", template),
            "link_id": _made(owner, f"/documents/{document}/links", {"role": "viewer"}),
            "role_id": _made(owner, "/roles", mason),
            "invitation_id": _made(owner, f"/tenants/{tenant.id}/invitations", guest),
        }

    return make


def _made(owner: Client, path: str, body: dict[str, Any]) -> str:
    answer = owner.post(path, body)
    assert answer.status == 201, (path, answer.json)
    return str(answer.json["id"])


@pytest.fixture
def stored(app: Flask) -> Callable[[], str]:
    """A digest of every row there is, but for what the record says was refused or failed."""

    def digest() -> str:
        made = hashlib.sha256()
        with app.app_context(), system_session("test", read_only=True) as session:
            for table in _tables():
                rows = sorted(repr(tuple(row)) for row in session.execute(select(table)))
                made.update(f"{table.name}{rows}".encode())
        return made.hexdigest()

    def _tables() -> Iterator[Any]:
        present = set(db.inspect(db.engine).get_table_names())
        kept = {name for name in present if not name.startswith("audit_")}
        return (table for table in Model.metadata.sorted_tables if table.name in kept)

    return digest
