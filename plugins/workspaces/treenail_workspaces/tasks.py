"""Work on events: the activity feed."""

from treenail.contributions import Delivery
from treenail.db import tenant_session

from treenail_workspaces import activity


def record_activity(delivery: Delivery) -> None:
    """The subscriber that fills the feed; harmless when run again."""
    event = delivery.event
    if event.tenant_id is not None:
        with tenant_session(event.tenant_id) as session:
            activity.record(session, event)
