"""Time: aware datetimes in UTC inside, RFC 3339 with milliseconds and ``Z`` outside."""

from datetime import UTC, datetime
from functools import lru_cache


def utcnow() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC)


@lru_cache(maxsize=16_384)
def rfc3339(moment: datetime) -> str:
    """The moment as ``2026-11-20T06:34:00.123Z``."""
    if moment.tzinfo is UTC:
        return moment.isoformat(timespec="milliseconds")[: -len("+00:00")] + "Z"
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
