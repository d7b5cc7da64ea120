"""Time: aware datetimes in UTC inside, RFC 3339 with milliseconds and ``Z`` outside."""

from datetime import UTC, datetime


def utcnow() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC)


def rfc3339(moment: datetime) -> str:
    """The moment as ``2026-11-20T06:34:00.123Z``."""
    if moment.tzinfo is UTC:
        return moment.isoformat(timespec="milliseconds")[: -len("+00:00")] + "Z"
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
