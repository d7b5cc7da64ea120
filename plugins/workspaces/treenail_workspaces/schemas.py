"""Shapes of workspaces, members and documents."""

from marshmallow import fields, validate
from treenail.schemas import Id, Moment, Schema, Text

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


class NewDocument(Schema):
    """What a document is made from."""

    title = Text(300, required=True)
    kind = fields.String(required=True, validate=validate.OneOf(KINDS))
    mode = fields.String(load_default="crdt", validate=validate.OneOf(MODES))


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
