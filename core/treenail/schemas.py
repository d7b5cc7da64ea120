"""Marshmallow in the house's way: camelCase outside, unknown fields refused."""

from datetime import UTC, datetime
from typing import Any

from marshmallow import RAISE, ValidationError, fields, validate
from marshmallow import Schema as BaseSchema

from treenail.clock import rfc3339
from treenail.ids import is_id


class Schema(BaseSchema):
    """Base of all shapes that come in or go out."""

    class Meta:
        """Fields nobody declared are an error, not a silence."""

        unknown = RAISE

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """``created_at`` is ``createdAt`` outside."""
        if field_obj.data_key is None:
            head, *rest = field_name.split("_")
            field_obj.data_key = head + "".join(word.capitalize() for word in rest)


class Id(fields.String):
    """A UUID in canonical form."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        if not is_id(value):
            raise ValidationError("Not an id.")
        return str(value)


class Text(fields.String):
    """Text of 1 to ``longest`` characters, not only white space."""

    def __init__(self, longest: int, *, shortest: int = 1, **options: Any) -> None:
        super().__init__(validate=[validate.Length(shortest, longest), self._say], **options)
        self._shortest = shortest

    def _say(self, value: str) -> None:
        if self._shortest and not value.strip():
            raise ValidationError("Only white space.")


class Moment(fields.Field[datetime]):
    """A moment as RFC 3339 with milliseconds and ``Z``."""

    def _serialize(self, value: datetime | None, attr: Any, obj: Any, **kwargs: Any) -> Any:
        return value and rfc3339(value)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> datetime:
        try:
            moment = datetime.fromisoformat(value)
        except (TypeError, ValueError):
            raise ValidationError("Not an RFC 3339 time.") from None
        if moment.tzinfo is None:
            raise ValidationError("A time needs its offset.")
        try:
            return moment.astimezone(UTC)
        except OverflowError:
            raise ValidationError("Not a time in UTC.") from None
