"""Switched off, webhooks leaves nothing waiting; on again, it begins with what happens then."""

from sqlalchemy import select
from treenail.app import create_app
from treenail.db import db, system_session
from treenail.deliveries import DeliveryRow, drain
from treenail.testing import Caller, TestTenant
from treenail.testing.injected import Injected


def test_nothing_piles_up_while_it_is_off(
    deployment, app, tenant, receiver, make_endpoint, run_tasks
):
    made = make_endpoint(events=["tenant.*", "member.*"])
    run_tasks()
    receiver.requests.clear()
    without = create_app({**deployment, "TREENAIL_PLUGINS": "injected"}, {"injected": Injected})
    TestTenant(without, tenant.id, tenant.owner).member()
    owner = Caller(without, user_id=tenant.owner.user_id, tenant_id=tenant.id)
    assert owner.get("/webhooks/endpoints").status == 404
    with without.app_context():
        drain()
        with system_session("test") as session:
            open_ = select(DeliveryRow.id).where(DeliveryRow.status == "pending")
            to_it = open_.where(DeliveryRow.subscription == "webhooks.deliver")
            assert session.scalars(to_it.where(DeliveryRow.target == made["id"])).all() == []
        db.engine.dispose()
    run_tasks()
    assert receiver.requests == []
    tenant.member()
    run_tasks()
    assert len(receiver.requests) == 1
