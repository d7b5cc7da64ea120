"""A request sent again with its key gets its first answer, and does nothing."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import pytest
import time_machine
from flask import Blueprint
from marshmallow import fields
from sqlalchemy import func, select, update
from sqlalchemy.orm import Mapped, mapped_column
from treenail import idempotency
from treenail.contributions import ResourceType
from treenail.db import Identified, Model, Tenanted, session, system_session, tenant_session
from treenail.errors import Conflict
from treenail.idempotency import IdempotencyKey, PersonalIdempotencyKey
from treenail.ids import uuid7
from treenail.models import Membership
from treenail.plugin import Plugin, hookimpl
from treenail.schemas import Schema, Text
from treenail.testing import make_tables
from treenail.testing.callers import make_person, make_tenant
from treenail.web import endpoint, permission

blueprint = Blueprint("yard", __name__)
STARTED, GO = Event(), Event()


class Log(Identified, Tenanted, Model):
    __tablename__ = "yard_logs"
    name: Mapped[str] = mapped_column()


class LogSchema(Schema):
    id = fields.String()
    name = fields.String()


class NewLog(Schema):
    name = Text(200, required=True)


@blueprint.post("/yard/logs")
@endpoint(permission("yard:use"), body=NewLog, answers=LogSchema, status=201)
def create(body: dict[str, Any]) -> Log:
    """Make one; two names are special."""
    made = Log(name=body["name"])
    session().add(made)
    session().flush()
    if body["name"] == "slow":
        STARTED.set()
        GO.wait(10)
    if body["name"] == "bad":
        raise Conflict("no")
    return made


@blueprint.delete("/yard/logs/<id:log_id>")
@endpoint(permission("log:remove", of="log_id"))
def remove(log_id: str) -> None:
    """Remove one."""
    session().delete(session().get_one(Log, log_id))


class Yard(Plugin):
    name = "yard"
    version = "1.0"

    @hookimpl
    def blueprints(self):
        return [blueprint]

    @hookimpl
    def resource_types(self):
        held = frozenset({"log:remove"})
        return [
            ResourceType("yard", {"owner": frozenset({"yard:use"})}),
            ResourceType("log", {"owner": held}, model=Log),
        ]


@pytest.fixture(scope="module")
def plugins():
    return {"yard": Yard}


@pytest.fixture(scope="module")
def environ():
    return {"TREENAIL_PLUGINS": "yard"}


@pytest.fixture(scope="module", autouse=True)
def _tables(app):
    make_tables(app, Log)


@pytest.fixture(autouse=True)
def _events():
    STARTED.clear()
    GO.clear()


def key(text: str) -> dict[str, Any]:
    return {"headers": {"Idempotency-Key": text}}


def count(app, tenant_id: str, model: type[Any] = Log) -> int:
    with app.app_context(), tenant_session(tenant_id, read_only=True) as within:
        return within.scalar(select(func.count(model.id)))


def test_sent_again_it_gets_the_same_answer_and_does_nothing(app, tenant):
    answers = [tenant.owner.post("/yard/logs", {"name": "oak"}, **key("k")) for _ in range(3)]
    assert [answer.status for answer in answers] == [201] * 3
    assert len({answer.response.data for answer in answers}) == 1
    replayed = [answer.headers.get("Idempotency-Replayed") for answer in answers]
    assert replayed == [None, "true", "true"]
    assert count(app, tenant.id) == 1


def test_without_a_key_it_is_done_again(app, tenant):
    for _ in range(2):
        assert tenant.owner.post("/yard/logs", {"name": "oak"}).status == 201
    assert (count(app, tenant.id), count(app, tenant.id, IdempotencyKey)) == (2, 0)


def test_a_key_is_its_persons_tenants_and_addresses_own(app, tenant, other_tenant):
    with app.app_context(), tenant_session(other_tenant.id) as within:
        within.add(Membership(user_id=tenant.owner.user_id, role="owner", spaces=["client"]))
    colleague = tenant.member("owner")
    elsewhere = {"Idempotency-Key": "k", "X-Tenant-Id": other_tenant.id}
    ids = [
        tenant.owner.post("/yard/logs", {"name": "oak"}, **key("k")).json["id"],
        tenant.owner.post("/yard/logs", {"name": "oak"}, **key("K")).json["id"],
        tenant.owner.post("/yard/logs", {"name": "oak"}, headers=elsewhere).json["id"],
        colleague.post("/yard/logs", {"name": "oak"}, **key("k")).json["id"],
    ]
    assert len(set(ids)) == 4
    assert [tenant.owner.delete(f"/yard/logs/{id}", **key("k")).status for id in ids[:2]] == [
        204
    ] * 2


def test_another_body_or_query_is_422(app, tenant):
    tenant.owner.post("/yard/logs", {"name": "oak"}, **key("k"))
    for path, name in (("/yard/logs", "elm"), ("/yard/logs?a=1", "oak")):
        answer = tenant.owner.post(path, {"name": name}, **key("k"))
        assert (answer.status, answer.code) == (422, "idempotency_key_reused")
    assert count(app, tenant.id) == 1


def test_what_failed_is_not_kept(app, tenant):
    for _ in range(2):
        answer = tenant.owner.post("/yard/logs", {"name": "bad"}, **key("k"))
        assert (answer.status, answer.headers.get("Idempotency-Replayed")) == (409, None)
    assert tenant.owner.post("/yard/logs", {}, **key("k")).status == 422
    assert tenant.owner.post("/yard/logs", {"name": "oak"}, **key("k")).status == 201
    assert count(app, tenant.id) == 1


def test_of_two_at_once_one_works_and_the_other_hears_so(app, tenant):
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(tenant.owner.post, "/yard/logs", {"name": "slow"}, **key("k"))
        assert STARTED.wait(10)
        second = tenant.owner.post("/yard/logs", {"name": "slow"}, **key("k"))
        GO.set()
        assert first.result().status == 201
    assert (second.status, second.code) == (409, "idempotency_in_progress")
    third = tenant.owner.post("/yard/logs", {"name": "slow"}, **key("k"))
    assert third.json == first.result().json
    assert count(app, tenant.id) == 1


def test_another_process_hears_so_too(app, tenant, backend, monkeypatch):
    """The set in memory is emptied, as another process's would be."""
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(tenant.owner.post, "/yard/logs", {"name": "slow"}, **key("k"))
        assert STARTED.wait(10)
        monkeypatch.setattr(idempotency, "_running", set())
        second = pool.submit(tenant.owner.post, "/yard/logs", {"name": "slow"}, **key("k"))
        if type(backend).__name__ == "PostgreSQL":
            assert second.result(10).code == "idempotency_in_progress"
        GO.set()
        assert {first.result().status, second.result().status} <= {201, 409}
    assert count(app, tenant.id) == 1


def test_many_at_once_do_it_once(app, tenant):
    GO.set()
    with ThreadPoolExecutor(8) as pool:
        sent = [
            pool.submit(tenant.owner.post, "/yard/logs", {"name": "oak"}, **key("k"))
            for _ in range(16)
        ]
    answers = [future.result() for future in sent]
    assert {answer.status for answer in answers} <= {201, 409}
    assert len({answer.json["id"] for answer in answers if answer.status == 201}) == 1
    assert count(app, tenant.id) == 1


def test_who_may_no_longer_gets_no_replay(app, tenant):
    colleague = tenant.member("owner")
    assert colleague.post("/yard/logs", {"name": "oak"}, **key("k")).status == 201
    with app.app_context(), tenant_session(tenant.id) as within:
        of = Membership.user_id == colleague.user_id
        within.execute(update(Membership).where(of).values(role="guest"))
    answer = colleague.post("/yard/logs", {"name": "oak"}, **key("k"))
    assert (answer.status, answer.code) == (403, "permission_denied")


def test_a_delete_is_replayed_though_its_object_is_gone(tenant):
    made = tenant.owner.post("/yard/logs", {"name": "oak"}).json["id"]
    answers = [tenant.owner.delete(f"/yard/logs/{made}", **key("k")) for _ in range(2)]
    assert [answer.status for answer in answers] == [204, 204]
    assert tenant.owner.delete(f"/yard/logs/{made}", **key("other")).status == 404
    assert tenant.owner.delete(f"/yard/logs/{made}").status == 404


def test_a_tenant_is_made_once_even_the_first(app):
    ann = make_person(app)
    first, second = (ann.post("/tenants", {"name": "Oak"}, **key("k")) for _ in range(2))
    assert (first.status, first.json) == (201, second.json)
    assert second.headers["Idempotency-Replayed"] == "true"
    assert len(ann.get("/tenants").json["items"]) == 1
    assert ann.post("/tenants", {"name": "Elm"}, **key("k")).code == "idempotency_key_reused"


@pytest.mark.parametrize("bad", ["", "a b", "x" * 256, "é"])
def test_a_key_that_is_none_is_400(tenant, bad: str):
    answer = tenant.owner.post("/yard/logs", {"name": "oak"}, **key(bad.encode().decode("latin-1")))
    assert (answer.status, answer.code) == (400, "bad_request")


def test_answers_are_sealed(app, tenant):
    tenant.owner.post("/yard/logs", {"name": "quercus"}, **key("k"))
    with app.app_context(), tenant_session(tenant.id, read_only=True) as within:
        row = within.scalars(select(IdempotencyKey)).one()
        assert b"quercus" in row.answer
        assert b"quercus" not in row.answer_sealed


def test_after_72_hours_it_is_forgotten(app, tenant):
    for days, made in ((0, 1), (2.9, 1), (3.1, 2)):
        with time_machine.travel(datetime.now(UTC) + timedelta(days=days), tick=True):
            assert tenant.owner.post("/yard/logs", {"name": "oak"}, **key("k")).status == 201
        assert count(app, tenant.id) == made


def test_what_is_older_is_pruned(app):
    tenant = make_tenant(app)
    tenant.owner.post("/yard/logs", {"name": "oak"}, **key("k"))
    tenant.owner.post("/tenants", {"name": "Oak"}, **key("k"))
    own = select(PersonalIdempotencyKey).filter_by(user_id=tenant.owner.user_id)
    for days, kept in ((2.9, True), (3.1, False)):
        moment = datetime.now(UTC) + timedelta(days=days)
        with time_machine.travel(moment, tick=True), app.app_context():
            app.extensions["treenail"].periodic_tasks["core.idempotency_keys"].run()
        assert count(app, tenant.id, IdempotencyKey) == kept
        with app.app_context(), system_session("test", read_only=True) as across:
            assert (across.scalar(own) is not None) == kept


def test_a_read_takes_no_notice(tenant):
    assert tenant.owner.get("/me", **key(uuid7())).headers.get("Idempotency-Replayed") is None
