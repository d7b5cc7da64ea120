"""Shapes of endpoints, deliveries and attempts."""

import re
from typing import Any

from marshmallow import ValidationError, fields, validate
from treenail.schemas import Id, Moment, Schema, Text

from treenail_webhooks.models import SCHEDULE
from treenail_webhooks.urls import LONGEST, BadUrl, parse

PATTERN = re.compile(r"(?:\*|[a-z0-9_-]+(?:\.[a-z0-9_-]+)*(?:\.\*)?)\Z")
TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
VALUE = re.compile(r"[!-~](?:[ -~\t]*[!-~])?")
OURS = {
    *("host", "content-length", "content-type", "content-encoding", "transfer-encoding", "te"),
    *("connection", "keep-alive", "upgrade", "trailer", "expect", "accept-encoding", "date"),
    *("x-hub-signature", "x-hub-signature-256"),
}
OUR_PREFIXES = ("webhook-", "ce-", "proxy-", "sec-")
DAY = 86_400
STATUSES = ("pending", "running", "delivered", "dead")
REPLAYED = ("missed", "dead", "delivered")


def _check_url(value: str) -> None:
    try:
        parse(value)
    except BadUrl as error:
        raise ValidationError(str(error)) from None


def _check_headers(given: dict[str, str]) -> None:
    if len(given) > 20 or len({name.lower() for name in given}) < len(given):
        raise ValidationError("At most 20 headers, each once.")
    for name, value in given.items():
        if not TOKEN.fullmatch(name):
            raise ValidationError(f"{name!r} is no name of a header.")
        if name.lower() in OURS or name.lower().startswith(OUR_PREFIXES):
            raise ValidationError(f"{name} is set by the sender.")
        if len(value) > 2000 or not VALUE.fullmatch(value):
            raise ValidationError(f"{name} needs 1 to 2000 printable ASCII characters.")


class Url(fields.String):
    """A receiver's address, in a form that can be read one way only."""

    def __init__(self, **options: Any) -> None:
        super().__init__(validate=[validate.Length(1, LONGEST), _check_url], **options)


class Headers(fields.Dict):
    """Headers of the tenant's own; none that frames the request or proves its origin."""

    def __init__(self, **options: Any) -> None:
        text = fields.String(required=True)
        super().__init__(keys=text, values=text, validate=_check_headers, **options)


class Delays(fields.List[float]):
    """Seconds before each retry; the first try is at once."""

    def __init__(self, **options: Any) -> None:
        delay = fields.Float(required=True, validate=validate.Range(0, 7 * DAY))
        super().__init__(delay, validate=validate.Length(max=20), **options)


def _patterns(**options: Any) -> fields.List[str]:
    pattern = fields.String(
        validate=[
            validate.Length(1, 120),
            validate.Regexp(PATTERN, error="Not a pattern such as document.*."),
        ]
    )
    return fields.List(pattern, validate=validate.Length(1, 100), **options)


class EndpointSchema(Schema):
    """An endpoint; ``heldSince`` offers a replay of what it wasn't told while disabled."""

    id = Id()
    url = fields.String()
    description = fields.String(allow_none=True)
    events = fields.List(fields.String())
    headers = fields.Dict(keys=fields.String(), values=fields.String())
    schedule = fields.List(fields.Float())
    fifo = fields.Boolean()
    enabled = fields.Boolean()
    disabled_at = Moment(allow_none=True)
    disabled_reason = fields.String(allow_none=True)
    held_since = Moment(allow_none=True)
    created_by = Id()
    created_at = Moment()
    updated_at = Moment()


class EndpointWithSecret(EndpointSchema):
    """The same with its secret, which is shown this once."""

    secret = fields.String()
    old_secret_until = Moment(allow_none=True)


class NewEndpoint(Schema):
    """What an endpoint is made from."""

    url = Url(required=True)
    description = Text(1000, shortest=0, allow_none=True)
    events = _patterns(required=True)
    headers = Headers(load_default=dict)
    schedule = Delays(load_default=lambda: list(SCHEDULE))
    fifo = fields.Boolean(load_default=False)


class EndpointChange(Schema):
    """What can be changed of an endpoint."""

    url = Url()
    description = Text(1000, shortest=0, allow_none=True)
    events = _patterns()
    headers = Headers()
    schedule = Delays()
    fifo = fields.Boolean()
    enabled = fields.Boolean()


class Queued(Schema):
    """The event that was made to be told."""

    event_id = Id()


class ReplayOrder(Schema):
    """Which events to tell again: those since then, perhaps of some types and in one state."""

    since = Moment(required=True)
    until = Moment()
    types = _patterns()
    status = fields.String(validate=validate.OneOf(REPLAYED))


class Replayed(Schema):
    """How many were queued."""

    queued = fields.Integer()


class DeliverySchema(Schema):
    """An event on its way to an endpoint."""

    id = Id()
    endpoint_id = Id()
    event_id = Id()
    event_type = fields.String()
    status = fields.String()
    attempt_count = fields.Integer()
    last_error = fields.String(allow_none=True)
    created_at = Moment()
    next_attempt_at = Moment(allow_none=True)
    finished_at = Moment(allow_none=True)


class AttemptSchema(Schema):
    """A request: ``status`` is the answer's, ``error`` a word where there was none."""

    id = Id()
    number = fields.Integer()
    started_at = Moment()
    finished_at = Moment(allow_none=True)
    duration_ms = fields.Integer(allow_none=True)
    status = fields.Integer(allow_none=True)
    error = fields.String(allow_none=True)
    response_head = fields.String(allow_none=True)


class WholeDelivery(DeliverySchema):
    """The same with the body that is sent and every request made."""

    event = fields.Dict()
    attempts = fields.List(fields.Nested(AttemptSchema))


class DeliveryQuery(Schema):
    """Which deliveries."""

    endpoint_id = Id()
    event_id = Id()
    event_type = Text(120)
    status = fields.String(validate=validate.OneOf(STATUSES))


class DeadQuery(Schema):
    """Whose dead letters."""

    endpoint_id = Id()


class EndpointEvent(Schema):
    """Data of the events about an endpoint."""

    endpoint_id = Id(required=True)
    host = fields.String(required=True)


class DisabledEvent(EndpointEvent):
    """Data of ``webhook.disabled``."""

    reason = fields.String(required=True)
