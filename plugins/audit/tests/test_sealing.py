"""Sealing: whole or not at all, by one at a time, killed at any moment; anchored at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select
from treenail import periodic
from treenail.db import system_session
from treenail.testing.callers import make_tenant
from treenail_audit import inbox, sealer, verification
from treenail_audit.anchors import Anchors
from treenail_audit.models import Record, Waiting
from treenail_audit.testing import anchors, verdict, wait, write
from treenail_audit.verification import Verdict

KILLS = [3, pytest.param(40, marks=pytest.mark.long)]
PROGRAM = """
import os, sys, json
from treenail.app import create_app
from treenail.testing.injected import Injected
from treenail_audit import sealer
sealer.BATCH = 7
app = create_app(json.loads(sys.argv[1]), {"injected": Injected})
with app.app_context():
    print("ready", flush=True)
    while True:
        sealer.seal_all()
"""


def count(app, model, tenant_id: str) -> int:
    with app.app_context(), system_session("test", read_only=True) as session:
        mine = select(func.count()).select_from(model).where(model.tenant_id == tenant_id)
        return session.scalar(mine)


def test_the_periodic_task_seals_and_anchors_what_waits(app, tenant):
    wait(app, tenant.id, 5)
    with app.app_context():
        assert inbox.has_work()
        periodic.run_due()
        assert not inbox.has_work()
    (line,) = anchors(app, tenant.id).lines()
    assert (line.said.seq, count(app, Waiting, tenant.id)) == (5, 0)


def test_a_checkpoint_is_an_event_that_anybody_can_check(app, tenant, captured_events):
    write(app, tenant.id, batches=1, size=3)
    (event,) = captured_events("audit.checkpoint")
    data = event.data
    assert (event.tenant_id, data["seq"], data["records"]) == (tenant.id, 3, 3)
    said = sealer.Statement(tenant.id, data["seq"], data["hash"], data["signedAt"])
    with app.app_context():
        assert sealer.signer().holds(said, data["signature"])
        assert sealer.signer().public_key == data["publicKey"]


def test_sealers_at_once_make_one_chain(app, tenant, monkeypatch):
    monkeypatch.setattr(sealer, "BATCH", 5)
    wait(app, tenant.id, 60)
    barrier = threading.Barrier(4)

    def seal(_: int) -> int:
        barrier.wait()
        with app.app_context():
            return sealer.seal(tenant.id)

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(seal, range(4))) == 60
    assert verdict(app, tenant.id) == Verdict(True, 60, None)


def test_a_batch_that_fails_changes_nothing(app, tenant, monkeypatch):
    wait(app, tenant.id, 5)
    with monkeypatch.context() as patch, app.app_context():
        patch.setattr(sealer, "_sign", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            sealer.seal(tenant.id)
    assert (count(app, Record, tenant.id), count(app, Waiting, tenant.id)) == (0, 5)
    with app.app_context():
        assert sealer.seal(tenant.id) == 5


def test_one_tenant_that_fails_keeps_no_other_waiting(app, tenant, other_tenant, monkeypatch):
    for each in (tenant, other_tenant):
        wait(app, each.id, 2)
    seal = sealer.seal
    broken = tenant.id
    with monkeypatch.context() as patch, app.app_context():
        patch.setattr(sealer, "seal", lambda each: 1 / 0 if each == broken else seal(each))
        sealer.seal_all()
    assert count(app, Record, other_tenant.id) == 2
    assert count(app, Waiting, tenant.id) == 2


def test_what_was_sealed_but_not_anchored_is_anchored_later(app, tenant, monkeypatch):
    wait(app, tenant.id, 2)
    with monkeypatch.context() as patch, app.app_context():
        patch.setattr(Anchors, "append", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            sealer.seal(tenant.id)
    assert verdict(app, tenant.id) == Verdict(True, 2, None)
    with app.app_context():
        assert inbox.has_work()
        sealer.seal_all()
    assert [line.said.seq for line in anchors(app, tenant.id).lines()] == [2]


def test_a_torn_line_of_a_killed_process_is_cut_off(app, tenant):
    write(app, tenant.id, batches=1)
    with open(anchors(app, tenant.id).path, "ab") as file:
        file.write(b'{"hash":"12')
    assert verdict(app, tenant.id).valid
    wait(app, tenant.id, 1)
    with app.app_context():
        sealer.seal(tenant.id)
    assert [line.said.seq for line in anchors(app, tenant.id).lines()] == [4, 5]
    assert verdict(app, tenant.id) == Verdict(True, 5, None)


@pytest.mark.parametrize("kills", KILLS)
def test_killed_while_sealing_nothing_is_lost_or_doubled(app, deployment, kills):
    tenant_id, total = make_tenant(app).id, 0
    names = {"TREENAIL_PLUGINS": "audit,injected"}
    command = [sys.executable, "-c", PROGRAM, json.dumps({**deployment, **names})]
    for kill in range(kills):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "ready\n"
            for _ in range(5):
                wait(app, tenant_id, 40, first=total)
                total += 40
            time.sleep(0.01 * (kill % 7))
            os.kill(process.pid, signal.SIGKILL)
        sealed = count(app, Record, tenant_id)
        assert verdict(app, tenant_id) == Verdict(True, sealed, None)
        assert sealed + count(app, Waiting, tenant_id) == total
    with app.app_context():
        sealer.seal(tenant_id)
        assert verification.verify(tenant_id) == Verdict(True, total, None)
        with system_session("test", read_only=True) as session:
            mine = select(Record.id).where(Record.tenant_id == tenant_id)
            assert len(set(session.scalars(mine))) == total
