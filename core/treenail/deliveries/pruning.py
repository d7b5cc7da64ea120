"""Pruning: what was delivered long ago is forgotten, a batch at a time."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, select

from treenail import platform
from treenail.clock import utcnow
from treenail.db import system_session
from treenail.deliveries.models import DEAD, DONE, DeliveryRow
from treenail.events import OutboxEvent
from treenail.ids import first_of

BATCH = 1000
HOUR = 3600.0


def prune() -> None:
    """Forget deliveries and events of before the settings' number of days.

    Deliveries that are not over stay, and the events of deliveries that stay.
    """
    done, dead = horizons()
    forget(DeliveryRow, done, DeliveryRow.status == DONE)
    forget(DeliveryRow, dead, DeliveryRow.status == DEAD)
    awaited = exists().where(DeliveryRow.event_id == OutboxEvent.id)
    forget(OutboxEvent, done, OutboxEvent.relayed_at.is_not(None) & ~awaited)


def horizons() -> tuple[datetime, datetime]:
    """Before when what was delivered is forgotten, and before when what never will be."""
    settings, now = platform.current().settings, utcnow()
    kept = (settings.events_kept_days, settings.dead_letters_kept_days)
    return now - timedelta(days=kept[0]), now - timedelta(days=kept[1])


def forget(model: type[Any], before: datetime, over: ColumnElement[bool]) -> None:
    """Delete a model's old rows for which ``over`` holds; its ids say how old they are."""
    old = select(model.id).where(model.id < first_of(before), over).order_by(model.id)
    found = BATCH
    while found == BATCH:
        with system_session("prune") as session:
            ids = session.scalars(old.limit(BATCH)).all()
            session.execute(delete(model).where(model.id.in_(ids)))
            found = len(ids)
