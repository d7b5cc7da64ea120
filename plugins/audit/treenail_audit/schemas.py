"""What goes in and out."""

from marshmallow import fields, validate
from treenail.schemas import Id, Moment, Schema

OUTCOMES = ("success", "denied", "failed")


class AuditQuery(Schema):
    """Which records: all that fits every filter."""

    actor_id = fields.String()
    action = fields.String()
    resource = fields.String(
        metadata={"description": "A type, an id, or both as `document/<id>`."},
    )
    outcome = fields.String(validate=validate.OneOf(OUTCOMES))
    since = Moment()
    until = Moment()
    q = fields.String(metadata={"description": "Text anywhere in a record."})


class ExportQuery(AuditQuery):
    """The same, and how it is written."""

    format = fields.String(load_default="ndjson", validate=validate.OneOf(("ndjson", "csv")))


class Happened(Schema):
    """An event that a request has brought about."""

    type = fields.String()
    subject = fields.String(allow_none=True)


class RecordSchema(Schema):
    """A sealed record. ``ip`` and ``userAgent`` are null once their person was erased."""

    seq = fields.Integer()
    id = Id()
    at = fields.String()
    actor_id = fields.String()
    action = fields.String()
    resource_type = fields.String()
    resource_id = fields.String(allow_none=True)
    resource = fields.String()
    outcome = fields.String()
    status = fields.Integer()
    code = fields.String(allow_none=True)
    method = fields.String()
    route = fields.String()
    request_id = fields.String(allow_none=True)
    ip = fields.String(allow_none=True)
    user_agent = fields.String(allow_none=True)
    arguments = fields.Dict(keys=fields.String(), values=fields.String())
    events = fields.List(fields.Nested(Happened))
    count = fields.Integer()
    prev_hash = fields.String()
    hash = fields.String()


# "fields" can't be a member of the class: it is marshmallow's own.
RecordSchema._declared_fields["fields"] = fields.List(fields.String())


class VerdictSchema(Schema):
    """Whether the log is whole."""

    valid = fields.Boolean()
    checked = fields.Integer()
    first_bad = fields.Integer(allow_none=True)


class CheckpointEvent(Schema):
    """The signed end of a tenant's log."""

    seq = fields.Integer(required=True)
    hash = fields.String(required=True)
    signed_at = fields.String(required=True)
    signature = fields.String(required=True)
    public_key = fields.String(required=True)
    records = fields.Integer(required=True)
