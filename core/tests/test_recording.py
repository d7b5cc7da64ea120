"""Acts: told within the transaction of the change, or in one of their own where there is none."""

from typing import Any

import pytest
from flask import Blueprint
from sqlalchemy import String, select
from sqlalchemy.orm import Mapped, mapped_column
from treenail.app import create_app
from treenail.contributions import Act, Recorder
from treenail.db import Identified, Model, Tenanted, session, tenant_session
from treenail.errors import ConfigurationError, Invalid
from treenail.models import Tenant
from treenail.plugin import Plugin, hookimpl
from treenail.testing import make_tables
from treenail.web import authenticated, endpoint, permission, recorded

TENANT_ITSELF = "/<id:tenant_id>"


class Note(Identified, Tenanted, Model):
    """What a recorder wrote down."""

    __tablename__ = "recording_notes"
    text: Mapped[str] = mapped_column(String(200))


acts: list[Act] = []


def write_down(own, act: Act) -> None:
    acts.append(act)
    own.put(Note(text=act.action))


def write_apart(act: Act) -> None:
    acts.append(act)
    with tenant_session(act.tenant_id) as own:
        own.put(Note(text=act.outcome))


class Audit(Plugin):
    """Takes the name of the one plugin that may record."""

    name = "audit"
    version = "1.0"

    @hookimpl
    def recorders(self) -> list[Recorder]:
        return [Recorder("notes", write_down, write_apart)]

    @hookimpl
    def blueprints(self) -> list[Blueprint]:
        return [blueprint()]


class Spy(Audit):
    name = "spy"


def blueprint() -> Blueprint:
    made = Blueprint("audit", __name__, url_prefix="/things")
    changing = permission("tenant:update", of="tenant_id")

    @made.put(TENANT_ITSELF)
    @endpoint(changing)
    def change(tenant_id: str) -> None:
        session().get_one(Tenant, tenant_id).name = "changed"

    @made.post(TENANT_ITSELF)
    @endpoint(changing)
    def fail(tenant_id: str) -> None:
        session().get_one(Tenant, tenant_id).name = "failed"
        session().flush()
        raise Invalid({"name": ["No."]})

    @made.get(TENANT_ITSELF)
    @endpoint(recorded(permission("tenant:read", of="tenant_id")))
    def look(tenant_id: str) -> None: ...

    @made.post("/mine")
    @endpoint(authenticated)
    def do_mine() -> None: ...

    return made


@pytest.fixture(scope="module")
def plugins() -> dict[str, type[Plugin]]:
    return {"audit": Audit}


@pytest.fixture(scope="module")
def environ() -> dict[str, str]:
    return {"TREENAIL_PLUGINS": "audit"}


@pytest.fixture(scope="module")
def recording(app: Any) -> None:
    make_tables(app, Note)


@pytest.fixture(autouse=True)
def told(recording: None) -> list[Act]:
    acts.clear()
    return acts


def notes(tenant) -> list[str]:
    with tenant.app.app_context(), tenant_session(tenant.id, read_only=True) as own:
        return list(own.scalars(select(Note.text).order_by(Note.id)))


def test_a_change_is_told_with_who_how_and_what(tenant, told):
    headers = {"X-Request-Id": "r-1", "User-Agent": "planer/2"}
    answer = tenant.owner.put(f"/things/{tenant.id}", {}, headers=headers)
    assert answer.status == 204
    (act,) = told
    assert (act.tenant_id, act.actor_id) == (tenant.id, tenant.owner.user_id)
    assert (act.action, act.outcome, act.status) == ("tenant:update", "success", 200)
    assert (act.resource_type, act.resource_id) == ("tenant", tenant.id)
    assert (act.method, act.route) == ("PUT", "/api/v1/things/<id:tenant_id>")
    assert (act.request_id, act.ip, act.user_agent) == ("r-1", "127.0.0.1", "planer/2")
    assert notes(tenant) == ["tenant:update"]


def test_fields_and_events_are_named_without_their_values(tenant, told):
    bob = tenant.member("member")
    answer = tenant.owner.patch(
        f"/tenants/{tenant.id}/members/{bob.user_id}", {"spaces": ["client"]}
    )
    assert answer.status == 200
    (act,) = told
    assert act.fields == ("spaces",)
    assert act.arguments == {"tenant_id": tenant.id, "user_id": bob.user_id}
    assert list(act.events) == [("member.changed", bob.user_id)]


def test_a_record_that_fails_undoes_the_change(app, tenant, monkeypatch):
    def refuse(*_: Any) -> None:
        raise RuntimeError("no ink")

    (recorder,) = app.extensions["treenail"].recorders
    monkeypatch.setitem(app.extensions["treenail"].__dict__, "recorders",
                        [Recorder("notes", refuse, recorder.apart)])  # fmt: skip
    assert tenant.owner.put(f"/things/{tenant.id}").status == 500
    with app.app_context(), tenant_session(tenant.id, read_only=True) as own:
        assert own.get_one(Tenant, tenant.id).name != "changed"


def test_what_failed_is_told_apart_from_what_it_undid(app, tenant, told):
    assert tenant.owner.post(f"/things/{tenant.id}").status == 422
    assert [(act.outcome, act.status, act.code) for act in told] == [("failed", 422, "invalid")]
    assert notes(tenant) == ["failed"]
    with app.app_context(), tenant_session(tenant.id, read_only=True) as own:
        assert own.get_one(Tenant, tenant.id).name != "failed"


def test_what_is_denied_is_told(tenant, told):
    guest = tenant.member("guest")
    assert guest.put(f"/things/{tenant.id}").status == 404
    assert [(act.actor_id, act.outcome, act.code) for act in told] == [
        (guest.user_id, "denied", "not_found")
    ]


def test_readings_are_told_only_where_they_say_so(tenant, told):
    tenant.owner.get("/me")
    tenant.owner.get(f"/tenants/{tenant.id}/members")
    assert told == []
    tenant.owner.get(f"/things/{tenant.id}")
    assert [act.action for act in told] == ["tenant:read"]


def test_what_is_done_across_tenants_is_told_where_one_works(tenant, told):
    assert tenant.owner.post("/things/mine").status == 204
    (act,) = told
    assert (act.action, act.tenant_id) == ("POST /api/v1/things/mine", tenant.id)
    assert (act.resource_type, act.resource_id) == ("user", tenant.owner.user_id)


def test_nobody_without_a_name_is_told_of(client, tenant, other_tenant, told):
    assert client.put(f"/things/{tenant.id}").status == 401
    assert other_tenant.owner.put(f"/things/{tenant.id}").status == 404
    assert told == []


def test_a_deleted_tenant_takes_its_records_along(tenant, told):
    assert tenant.owner.delete(f"/tenants/{tenant.id}").status == 204
    assert told == []


def test_no_other_plugin_records(deployment):
    with pytest.raises(ConfigurationError, match=r"spy failed .register.: it may not act inside"):
        create_app({**deployment, "TREENAIL_PLUGINS": "spy"}, {"spy": Spy})


def test_only_what_is_in_a_tenant_is_recorded():
    with pytest.raises(ValueError, match="in a tenant"):
        recorded(authenticated)
