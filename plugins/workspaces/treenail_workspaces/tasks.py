"""Work on events: the activity feed."""

from collections.abc import Sequence

from treenail.contributions import Delivery
from treenail.db import tenant_session

from treenail_workspaces import activity


def record_activity(delivery: Delivery) -> None:
    """The subscriber that fills the feed; harmless when run again."""
    record_activities([delivery])


def record_activities(deliveries: Sequence[Delivery]) -> None:
    """The same for many of one tenant, in one transaction."""
    tenant_id = deliveries[0].event.tenant_id
    if tenant_id is not None:
        with tenant_session(tenant_id) as session:
            activity.record(session, [delivery.event for delivery in deliveries])
