"""Step-up: a route, or a service, may want a proof of who one is that is not old."""

import pytest
import time_machine
from flask import Blueprint
from treenail.clock import utcnow
from treenail.plugin import Plugin, hookimpl
from treenail.principal import FRESH_FOR, Identity, require_fresh
from treenail.testing import Client
from treenail.testing.callers import make_person
from treenail.web import authenticated, endpoint, fresh, permission, principal, public

blueprint = Blueprint("vault", __name__)
PROVEN = utcnow()


@blueprint.get("/vault")
@endpoint(fresh(authenticated))
def look():
    """Sensitive for anybody."""


@blueprint.delete("/vault/<id:tenant_id>")
@endpoint(fresh(permission("tenant:delete", of="tenant_id")))
def clear(tenant_id):
    """Sensitive, and not for everybody."""


@blueprint.put("/vault")
@endpoint(authenticated)
def fill():
    """Sensitive in a service."""
    require_fresh(principal())


class Vault(Plugin):
    """Routes that are sensitive, and people who proved who they are at one moment, or never."""

    name, version = "vault", "1.0"

    @hookimpl
    def blueprints(self):
        return [blueprint]

    @hookimpl
    def authenticate(self, request):
        kind, _, user_id = request.headers.get("Authorization", "").partition(" ")
        moments = {"Once": PROVEN, "Never": None}
        return Identity(user_id, "s", moments[kind]) if kind in moments else None


@pytest.fixture(scope="module")
def environ():
    return {"TREENAIL_PLUGINS": "vault"}


@pytest.fixture(scope="module")
def plugins():
    return {"vault": Vault}


@pytest.fixture
def call(app, tenant):
    def send(method, path, kind="Once", person=tenant.owner):
        return Client(app, {"Authorization": f"{kind} {person.user_id}"}).call(method, path)

    return send


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_an_old_proof_is_not_enough(call, method):
    with time_machine.travel(PROVEN + FRESH_FOR * 0.9):
        assert call(method, "/vault").status == 204
    with time_machine.travel(PROVEN + FRESH_FOR):
        answer = call(method, "/vault")
    assert (answer.status, answer.code) == (403, "reauthentication_required")


def test_no_proof_is_not_enough(call):
    assert call("GET", "/vault", "Never").code == "reauthentication_required"


def test_a_permission_is_asked_first(app, call, tenant, other_tenant):
    with time_machine.travel(PROVEN + FRESH_FOR):
        own = call("DELETE", f"/vault/{tenant.id}")
        foreign = call("DELETE", f"/vault/{other_tenant.id}")
        member = call("DELETE", f"/vault/{tenant.id}", person=tenant.member())
    assert own.code == "reauthentication_required"
    assert (foreign.status, member.status) == (404, 404)


def test_the_kits_people_are_always_fresh(app):
    assert make_person(app).get("/vault").status == 204


def test_nobody_in_particular_cannot_be_fresh():
    with pytest.raises(ValueError, match="nobody"):
        fresh(public)
