"""Deliveries: the one engine that brings events to whoever subscribed, until it is done."""

from treenail.deliveries.engine import drain
from treenail.deliveries.models import DeliveryRow
from treenail.deliveries.outcomes import Abandon, RetryAfter
from treenail.deliveries.replays import redeliver, replay

__all__ = ["Abandon", "DeliveryRow", "RetryAfter", "drain", "redeliver", "replay"]
