"""How much happened in a workspace: by day and by person, in one grouped query each."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, func, select
from treenail.clock import utcnow
from treenail.db import TenantSession
from treenail.errors import Invalid
from treenail.models import User

from treenail_workspaces.models import Activity

USUAL, LONGEST = timedelta(days=29), timedelta(days=365)


def analytics(
    session: TenantSession, workspace_id: str, since: date | None, until: date | None
) -> dict[str, Any]:
    """``days`` and ``members``, each with counts by type of event; both dates (UTC) included.

    Without dates, the last 30 days. Raises `Invalid` beyond 366 days.
    """
    until = until or (since + USUAL if since else utcnow().date())
    since = since or until - USUAL
    if not timedelta() <= until - since <= LONGEST:
        raise Invalid({"since": ["Not before until, or more than 366 days before it."]})
    inside = and_(Activity.workspace_id == workspace_id, Activity.day.between(since, until))
    members = sorted(_members(session, inside), key=lambda m: -sum(m["counts"].values()))
    return {"days": list(_days(session, inside)), "members": members}


def _days(session: TenantSession, inside: ColumnElement[bool]) -> Iterator[dict[str, Any]]:
    counted = select(Activity.day, Activity.type, func.count(Activity.id)).where(inside)
    rows = session.execute(counted.group_by(Activity.day, Activity.type).order_by(Activity.day))
    counts: dict[date, dict[str, int]] = defaultdict(dict)
    for day, kind, count in rows:
        counts[day][kind] = count
    for day, found in counts.items():
        yield {"date": day, "counts": found}


def _members(session: TenantSession, inside: ColumnElement[bool]) -> Iterator[dict[str, Any]]:
    person = (User.id, User.name)
    counted = select(*person, Activity.type, func.count(Activity.id)).where(inside)
    counted = counted.join(User, User.id == Activity.actor_id).order_by(User.name, User.id)
    counts: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for user_id, name, kind, count in session.execute(counted.group_by(*person, Activity.type)):
        counts[user_id, name][kind] = count
    for (user_id, name), found in counts.items():
        yield {"user_id": user_id, "name": name, "counts": found}
