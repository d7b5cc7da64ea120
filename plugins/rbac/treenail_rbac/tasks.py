"""What rbac does when something has happened."""

from sqlalchemy import delete
from treenail import epochs
from treenail.contributions import Delivery
from treenail.db import tenant_session

from treenail_rbac.models import Grant


def forget_member(delivery: Delivery) -> None:
    """Remove the grants of somebody who left: whoever comes back begins anew.

    Grants given since then are those of a new membership and stay.
    """
    event = delivery.event
    with tenant_session(event.tenant_id or "") as session:
        session.execute(
            delete(Grant).where(
                Grant.user_id == event.data["userId"], Grant.created_at <= event.occurred_at
            )
        )
        epochs.touch(session, session.tenant_id)
