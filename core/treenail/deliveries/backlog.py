"""How much is still to be delivered, and how much never will be."""

from sqlalchemy import func, select

from treenail.db import system_session
from treenail.deliveries.models import DEAD, PENDING, RUNNING, DeliveryRow


def counts() -> dict[str, float]:
    """Deliveries ``pending`` (those being tried included) and ``dead``."""
    by_status = (
        select(DeliveryRow.status, func.count(DeliveryRow.id))
        .where(DeliveryRow.status.in_([PENDING, RUNNING, DEAD]))
        .group_by(DeliveryRow.status)
    )
    with system_session("count deliveries", read_only=True) as session:
        found = {row[0]: row[1] for row in session.execute(by_status)}
    waiting = found.get(PENDING, 0) + found.get(RUNNING, 0)
    return {PENDING: waiting, DEAD: found.get(DEAD, 0)}
