"""How much is still to be delivered, since when, and how much never will be."""

from sqlalchemy import func, select

from treenail.clock import utcnow
from treenail.db import system_session
from treenail.deliveries.models import DEAD, PENDING, RUNNING, DeliveryRow, is_open


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


def lateness() -> dict[str, float]:
    """Seconds for which the longest overdue delivery has waited for its turn; 0 for none."""
    with system_session("count deliveries", read_only=True) as session:
        due = select(func.min(DeliveryRow.due_at)).where(is_open())
        oldest = session.scalar(due)
    late = (utcnow() - oldest).total_seconds() if oldest else 0
    return {PENDING: max(0.0, late)}
