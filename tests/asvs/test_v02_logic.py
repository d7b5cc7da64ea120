"""V2: validation and business logic."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import event
from treenail.db import db
from treenail.ids import uuid7
from treenail.testing.callers import make_person

JUNK = [None, -1, 2**70, "\0", "\ud800", "x" * 9_000, [[]], {"a": {}}]


def test_v2_2_1_no_input_breaks_anything(client, tenant, furnish, operations):
    ids = furnish(tenant)
    for operation in operations:
        if operation.method == "DELETE" or "requestBody" not in operation.about:
            continue
        caller = client if operation.is_public else tenant.owner
        path, kind = operation.at(ids), "application/json"
        for body in ([], *(dict.fromkeys(operation.fields, junk) for junk in JUNK)):
            data = json.dumps(body)
            answer = caller.call(operation.method, path, data=data, content_type=kind)
            assert answer.status < 500, (path, body)


def test_v2_3_1_no_step_can_be_skipped(client, ann):
    session = ann.session()
    assert session.call("POST", "/me/totp/confirm", {"code": "123456"}).status == 422
    session.enrol()
    ticket = ann.log_in().json["mfaToken"]
    for path in ("/me", "/tenants"):  # the first of two steps opens nothing
        answer = client.get(path, headers={"Authorization": f"Bearer {ticket}"})
        assert answer.status == 401
    assert client.post("/auth/refresh", {"refreshToken": ticket}).status == 401
    body = {"token": ticket, "password": "a new oak beam"}
    assert client.post("/auth/password/reset", body).status == 422
    assert client.post("/auth/mfa/verify", {"mfaToken": uuid7(), "code": "123456"}).status == 401


class Fault(Exception):
    """The database goes away."""


@contextmanager
def failing_at(app, number: int) -> Iterator[None]:
    """A block whose writing statement of this number, counted from 0, fails."""
    seen = 0

    def count(connection, cursor, statement: str, *rest) -> None:
        nonlocal seen
        if statement.startswith(("INSERT", "UPDATE", "DELETE")):
            seen += 1
            if seen == number + 1:
                raise Fault

    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", count)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", count)


@pytest.fixture
def acts(app, tenant, mailbox, furnish):
    """Things that take many statements, each to be done as a whole or not at all."""
    owner, bob = tenant.owner, make_person(app)
    ids = furnish(tenant)
    invitations = f"/tenants/{tenant.id}/invitations"
    owner.post(invitations, {"email": bob.email, "role": "admin"})
    token = mailbox(bob.email)[-1].partition("token=")[2].split()[0]
    board = {"title": "Roof", "kind": "board"}
    registered = {"email": f"{uuid7()}@example.com", "password": "oak beams", "name": "Eve"}
    return [
        lambda: bob.post("/tenants", {"name": "Birch"}),
        lambda: bob.post("/auth/register", registered),
        lambda: bob.post("/invitations/accept", {"token": token}),
        lambda: owner.post(f"/workspaces/{ids['workspace_id']}/documents", board),
        lambda: owner.delete(f"/workspaces/{ids['workspace_id']}"),
        lambda: owner.delete(f"/tenants/{tenant.id}"),
    ]


def test_v2_3_3_whatever_fails_on_the_way_leaves_nothing_half_done(app, acts, stored):
    for act in acts:
        before, number = stored(), 0
        while True:
            with failing_at(app, number):
                status = act().status
            if status != 500:
                break
            assert stored() == before, number
            number += 1
        assert number > 1
        assert status < 300
        assert stored() != before
