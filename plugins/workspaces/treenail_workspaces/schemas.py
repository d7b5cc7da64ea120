"""Shapes of workspaces, members and documents."""

from datetime import date, datetime
from typing import Any

from marshmallow import fields, validate
from treenail.schemas import Id, Moment, Schema, Text

from treenail_workspaces.listing import ORDERS
from treenail_workspaces.models import KINDS, MODES

LONG = 10_000


class WorkspaceSchema(Schema):
    """A workspace, and the caller's role in it."""

    id = Id()
    name = fields.String()
    description = fields.String(allow_none=True)
    role = fields.String(allow_none=True)
    created_at = Moment()
    updated_at = Moment()


class NewWorkspace(Schema):
    """What a workspace is made from."""

    name = Text(200, required=True)
    description = Text(LONG, shortest=0, allow_none=True)


class WorkspaceChange(Schema):
    """What can be changed of a workspace."""

    name = Text(200)
    description = Text(LONG, shortest=0, allow_none=True)


class DocumentSchema(Schema):
    """A document, and the caller's role on it."""

    id = Id()
    workspace_id = Id()
    title = fields.String()
    kind = fields.String()
    mode = fields.String()
    role = fields.String(allow_none=True)
    created_by = Id()
    created_at = Moment()
    updated_at = Moment()


class DocumentQuery(Schema):
    """Which documents of a workspace, in which order."""

    q = Text(300, shortest=0)
    sort = fields.String(load_default="-createdAt", validate=validate.OneOf(ORDERS))


class AnyDocumentQuery(DocumentQuery):
    """The same among all documents; ``withMe``: those shared with one by themselves."""

    shared = fields.String(validate=validate.OneOf(["withMe"]))


class NewDocument(Schema):
    """What a document is made from."""

    title = Text(300, required=True)
    kind = fields.String(required=True, validate=validate.OneOf(KINDS))
    mode = fields.String(load_default="crdt", validate=validate.OneOf(MODES))
    template_id = Id(allow_none=True)


class DocumentChange(Schema):
    """What can be changed of a document."""

    title = Text(300)


class ContentSchema(Schema):
    """What is in a document: boards hold ``objects``, diagrams ``xml``."""

    objects = fields.Dict(keys=fields.String())
    xml = fields.String()
    version = fields.Integer()
    updated_at = Moment()


class RoleChoice(Schema):
    """The role to give."""

    role = Text(80, required=True)


class GrantSchema(Schema):
    """A role somebody has on a workspace or document."""

    user_id = Id()
    name = fields.String(attribute="user.name")
    email = fields.String(attribute="user.email")
    role = fields.String()
    created_at = Moment()


class NewLink(Schema):
    """What a share link is made from."""

    role = fields.String(required=True, validate=validate.OneOf(["viewer", "editor"]))
    expires_at = Moment(allow_none=True)
    password = Text(200, allow_none=True)


class LinkSchema(Schema):
    """A share link; ``url``, which holds its token, is there at its making alone."""

    id = Id()
    url = fields.String()
    role = fields.String()
    expires_at = Moment(allow_none=True)
    has_password = fields.Boolean()
    created_at = Moment()


class Opening(Schema):
    """The link's password, if it has one."""

    password = Text(200, allow_none=True)


class Opened(Schema):
    """What a link gave, in which tenant; one's role may be stronger than the link's."""

    document = fields.Nested(DocumentSchema)
    role = fields.String()
    tenant_id = Id()


class TemplateSchema(Schema):
    """A template in a list."""

    id = Id()
    workspace_id = Id()
    name = fields.String()
    kind = fields.String()
    thumbnail = fields.String(allow_none=True)
    created_by = Id()
    created_at = Moment()


class WholeTemplate(TemplateSchema):
    """A template with what documents begin with: ``objects`` or ``xml``."""

    content = fields.Dict(keys=fields.String())


class NewTemplate(Schema):
    """What a template is made from; the thumbnail is a ``data:`` URL."""

    name = Text(200, required=True)
    kind = fields.String(required=True, validate=validate.OneOf(KINDS))
    content = fields.Dict(keys=fields.String(), required=True)
    thumbnail = fields.String(allow_none=True)


class ActivitySchema(Schema):
    """Something that happened, with the data of its event."""

    id = Id(attribute="Activity.id")
    type = fields.String(attribute="Activity.type")
    actor_id = Id(attribute="Activity.actor_id", allow_none=True)
    actor_name = fields.String(attribute="name", allow_none=True)
    document_id = Id(attribute="Activity.document_id", allow_none=True)
    data = fields.Dict(attribute="Activity.data", keys=fields.String())
    occurred_at = Moment(attribute="Activity.occurred_at")


class Day(fields.Date):
    """A day of our time, or the one that a moment falls on in UTC."""

    def __init__(self, **options: Any) -> None:
        in_our_time = validate.Range(date(1970, 1, 1), date(2999, 12, 31))
        super().__init__(validate=in_our_time, **options)

    def _deserialize(self, value: Any, attr: Any, data: Any, **options: Any) -> date:
        if "T" not in value:
            found: date = super()._deserialize(value, attr, data, **options)
            return found
        moment: datetime = Moment().deserialize(value)
        return moment.date()


class AnalyticsQuery(Schema):
    """From which day to which, both included; the last 30 when neither is said."""

    since = Day()
    until = Day()


class DaySchema(Schema):
    """How many events of each type a day had; days without any are left out."""

    date = fields.Date()
    counts = fields.Dict(keys=fields.String(), values=fields.Integer())


class MemberCounts(Schema):
    """How many events of each type a person caused."""

    user_id = Id()
    name = fields.String()
    counts = fields.Dict(keys=fields.String(), values=fields.Integer())


class Analytics(Schema):
    """How much happened in a workspace; the busiest member first."""

    days = fields.List(fields.Nested(DaySchema))
    members = fields.List(fields.Nested(MemberCounts))


class WorkspaceEvent(Schema):
    """Data of the events about a workspace."""

    workspace_id = Id(required=True)
    name = fields.String(required=True)


class DocumentEvent(Schema):
    """Data of the events about a document."""

    document_id = Id(required=True)
    workspace_id = Id(required=True)
    title = fields.String(required=True)
    kind = fields.String(required=True)


class LinkEvent(Schema):
    """Data of the events about a share link."""

    link_id = Id(required=True)
    document_id = Id(required=True)
    workspace_id = Id(required=True)
    role = fields.String(required=True)


class TemplateEvent(Schema):
    """Data of the events about a template."""

    template_id = Id(required=True)
    workspace_id = Id(required=True)
    name = fields.String(required=True)
    kind = fields.String(required=True)
