"""Periodic work: forgetting sessions, tokens and tries that are long over."""

from datetime import timedelta

from sqlalchemy import delete, or_, select
from treenail.clock import utcnow
from treenail.db import system_session
from treenail.models import Activation

from treenail_auth.models import SessionRow, Throttle, Ticket
from treenail_auth.throttle import QUIET

KEPT = timedelta(days=30)
BATCH = 500


def purge_sessions() -> None:
    """Delete sessions that ended or expired over 30 days ago, a batch per transaction."""
    while _purge_batch() == BATCH:
        pass


def purge_tickets() -> None:
    """Delete tokens that have expired, and counters of tries that start anew anyway."""
    now = utcnow()
    with system_session("purge tickets") as session:
        session.execute(delete(Ticket).where(Ticket.expires_at < now))
        session.execute(delete(Throttle).where(Throttle.seen_at < now - QUIET))


def _purge_batch() -> int:
    long_ago = utcnow() - KEPT
    over = or_(SessionRow.ended_at < long_ago, SessionRow.expires_at < long_ago)
    with system_session("purge sessions") as session:
        ids = session.scalars(select(SessionRow.id).where(over).limit(BATCH)).all()
        session.execute(delete(Activation).where(Activation.session_id.in_(ids)))
        session.execute(delete(SessionRow).where(SessionRow.id.in_(ids)))
        return len(ids)
