"""No route gives, or lets anybody change, what is another tenant's; and the matrix sees it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from flask import Blueprint, Flask
from populated import Populated, missing, populate
from route_matrix import BY_TOKEN, PUBLIC, SOCKETS, TOLD_NOTHING, routes, sweep
from sqlalchemy import select
from treenail.app import create_app
from treenail.db import db, session, system_session
from treenail.plugin import Plugin, hookimpl
from treenail.testing.injected import Injected
from treenail.web import authenticated, endpoint, permission, public
from treenail_workspaces.models import Document, Template

CONDITIONAL = {
    **BY_TOKEN,
    "platform.plugins": "for operators, whom the matrix has none of",
    "auth.reauthenticate": "the callers' sessions are the testing kit's, not auth's",
    "auth_own.enrol_authenticator": "the owner has one already",
    "auth_own.confirm_authenticator": "wants a code of the authenticator just set up",
}
"""Routes that even a tenant's owner is not simply let through."""


@pytest.fixture(scope="module")
def environ() -> dict[str, str]:
    return {"TREENAIL_AUTH_BCRYPT_ROUNDS": "4", "TREENAIL_RATE_LIMITS": "off"}


@pytest.fixture(scope="module")
def own(app: Flask) -> Populated:
    """Where the callers are from."""
    return populate(app, "zq-own-")


@pytest.fixture(scope="module")
def victim(app: Flask) -> Populated:
    """Whose data they are after."""
    return populate(app, "zq-canary-")


def test_the_victim_has_data_of_every_kind(victim: Populated):
    assert list(missing(victim)) == []


def test_no_route_knows_another_tenants_data(own: Populated, victim: Populated):
    found = sweep(own, victim)
    assert not found, "\n".join(map(str, found))


def test_the_same_calls_are_good_with_ones_own_ids(app: Flask):
    """Else they would be refused for another reason than whose ids they name."""
    refused = {}
    tenant = populate(app, "zq-control-")
    for route in routes(app):
        if route.rule.websocket or route.kind == "public" or route.rule.endpoint in CONDITIONAL:
            continue
        for call in route.calls(tenant):
            answer = call.by(tenant.owner)
            if answer.status >= 300:
                refused[f"{route}"] = (answer.status, answer.json)
        if route.method == "DELETE":
            tenant = populate(app, "zq-control-")
    assert not refused, "\n".join(f"{route}: {what}" for route, what in refused.items())


def test_every_exception_is_of_a_route_that_exists(app: Flask):
    names = {route.rule.endpoint for route in routes(app)}
    assert {*SOCKETS, *BY_TOKEN, *TOLD_NOTHING, *CONDITIONAL} <= names
    assert all(any(name.startswith(prefix) for name in names) for prefix in PUBLIC)


class Planted(Plugin):
    """A plugin with holes: each is a mistake that somebody made for real."""

    name = "planted"
    version = "1.0"

    @hookimpl
    def blueprints(self) -> Sequence[Blueprint]:
        return [holes()]


def holes() -> Blueprint:
    """Made anew for every app, with a route without fault among the others."""
    blueprint = Blueprint("planted", __name__)

    @blueprint.get("/planted/documents/<id:document_id>")
    @endpoint(permission("tenant:read"), status=200)
    def read_any(document_id: str) -> dict[str, Any]:
        with system_session("no tenant asked", read_only=True) as across:
            return {"title": across.get_one(Document, document_id).title}

    @blueprint.put("/planted/documents/<id:document_id>")
    @endpoint(authenticated)
    def change_any(document_id: str) -> None:
        with system_session("no tenant asked") as across:
            across.get_one(Document, document_id).mode = "server"

    @blueprint.get("/planted/documents")
    @endpoint(permission("tenant:read"), status=200)
    def list_to_guests() -> dict[str, Any]:
        return {"items": [row.title for row in session().scalars(select(Document))]}

    @blueprint.get("/planted/workspaces/<id:workspace_id>/templates/<id:template_id>")
    @endpoint(permission("workspace:read", of="workspace_id"), status=200)
    def read_inner(workspace_id: str, template_id: str) -> dict[str, Any]:
        with system_session("only the outer id is checked", read_only=True) as across:
            return {"name": across.get_one(Template, template_id).name}

    @blueprint.get("/planted/documents/<id:document_id>/title")
    @endpoint(permission("document:read", of="document_id"), status=200)
    def without_fault(document_id: str) -> dict[str, Any]:
        return {"title": session().get_one(Document, document_id).title}

    @blueprint.get("/planted/riddles/<riddle>")
    @endpoint(permission("tenant:read"))
    def unknown(riddle: str) -> None:
        """Nobody told the matrix what a riddle is."""

    @blueprint.get("/planted/open")
    @endpoint(public)
    def open_to_all() -> None:
        """Nobody said why."""

    @blueprint.get("/planted/socket", websocket=True)
    @endpoint(public)
    def socket() -> None:
        """Nobody tries its tokens."""

    return blueprint


@pytest.fixture(scope="module")
def porous(deployment: dict[str, str]) -> Iterator[Flask]:
    """The same deployment, with the holes."""
    made = create_app(deployment, {"planted": Planted, "injected": Injected})
    yield made
    with made.app_context():
        db.engine.dispose()


FOUND = {
    ("GET", "documents/<id:document_id>", "reads its document"),
    ("PUT", "documents/<id:document_id>", "changes workspaces_documents"),
    ("GET", "documents", "a guest reads its document"),
    ("GET", "workspaces/<id:workspace_id>/templates/<id:template_id>", "reads its template"),
    ("GET", "riddles/<riddle>", "no id is known for riddles/<riddle>"),
    ("GET", "open", "is public for no declared reason"),
    ("GET", "socket", "no test of its own tries this socket with foreign tokens"),
}


def test_every_planted_hole_is_found_and_nothing_else(porous: Flask):
    own, victim = populate(porous, "zq-own-"), populate(porous, "zq-canary-")
    found = sweep(own, victim, "/api/v1/planted")
    rules = {f"/api/v1/planted/{rule}" for _, rule, _ in FOUND}
    assert {finding.route.split(" ")[1] for finding in found} == rules
    for method, rule, what in FOUND:
        said = [f.what for f in found if f.route == f"{method} /api/v1/planted/{rule}"]
        assert any(what in one for one in said), (rule, said)
