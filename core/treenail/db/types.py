"""Column types that mean the same on SQLite and PostgreSQL."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import DateTime, Dialect, Uuid
from sqlalchemy.types import TypeDecorator


class Timestamp(TypeDecorator[datetime]):
    """An aware moment in UTC; SQLite would drop the zone. Refuses naive values."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a naive moment: it would be read back as another one."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime can't be stored")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give the zone back."""
        return value if value is None or value.tzinfo else value.replace(tzinfo=UTC)

    def result_processor(self, dialect: Dialect, coltype: Any) -> Any:
        """SQLite's text is read in one step, as the moment in UTC it is."""
        if dialect.name == "sqlite":
            return _read_utc
        return super().result_processor(dialect, coltype)


@lru_cache(maxsize=16_384)  # lists show the same moments, and ids, again and again
def _read_utc(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(f"{text}+00:00")


class CanonicalUuid(Uuid[str]):
    """A UUID as canonical text; read back without making an object of it (a tenth of the time)."""

    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """Put the hyphens back where the database keeps 32 characters."""
        if dialect.supports_native_uuid:
            return super().result_processor(dialect, coltype)  # type: ignore[no-untyped-call]
        return _hyphenated


@lru_cache(maxsize=16_384)
def _hyphenated(text: str | None) -> str | None:
    if text is None:
        return None
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def uuid_type() -> Uuid[Any]:
    """Identifiers as canonical strings: native on PostgreSQL, 32 characters on SQLite."""
    return CanonicalUuid(as_uuid=False)
