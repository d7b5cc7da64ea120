"""What a purged plugin leaves in the outbox."""

from collections.abc import Iterator

from sqlalchemy import exists, select

from treenail.contributions import Leftover, Purged
from treenail.deliveries.models import DeliveryRow, is_open
from treenail.events import OutboxEvent


def leftovers(purged: Purged) -> Iterator[Leftover]:
    """What was on the way to it, and its own events once nobody else waits for them."""
    to_it = DeliveryRow.subscription.startswith(f"{purged.plugin}.", autoescape=True)
    awaited = exists().where(DeliveryRow.event_id == OutboxEvent.id, is_open(), ~to_it)
    over = OutboxEvent.type.in_(purged.event_types) & OutboxEvent.relayed_at.is_not(None) & ~awaited
    of_them = DeliveryRow.event_id.in_(select(OutboxEvent.id).where(over))
    yield Leftover("deliveries to it", DeliveryRow, to_it)
    yield Leftover("deliveries of its events", DeliveryRow, of_them & ~to_it)
    yield Leftover("its events", OutboxEvent, over)
