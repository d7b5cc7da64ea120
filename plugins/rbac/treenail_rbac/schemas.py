"""Shapes of roles, grants, invitations and checks."""

from marshmallow import fields, validate
from treenail.permissions import TENANT
from treenail.schemas import Id, Moment, Schema, Text


class RoleSchema(Schema):
    """A role on resources of a type; a built-in one has no id."""

    id = Id(allow_none=True)
    name = fields.String()
    resource_type = fields.String()
    permissions = fields.List(fields.String())
    built_in = fields.Boolean()


class RoleList(Schema):
    """All roles, at once."""

    items = fields.List(fields.Nested(RoleSchema))
    next_cursor = fields.String(allow_none=True)


class NewRole(Schema):
    """A role to be had in the tenant, or on resources of a type."""

    name = Text(80, required=True)
    resource_type = Text(80, load_default=TENANT)
    permissions = fields.List(Text(120), required=True, validate=validate.Length(max=500))


class RoleChange(Schema):
    """What can be changed of a role."""

    name = Text(80)
    permissions = fields.List(Text(120), validate=validate.Length(max=500))


class NewInvitation(Schema):
    """Whom to invite, as what."""

    email = fields.Email(required=True, validate=validate.Length(max=320))
    role = Text(80, required=True)
    spaces = fields.List(Text(40))
    workspace_id = Id()


class InvitationSchema(Schema):
    """An invitation; its token is in the mail alone."""

    id = Id()
    email = fields.String()
    role = fields.String()
    spaces = fields.List(fields.String(), allow_none=True)
    workspace_id = Id(allow_none=True)
    invited_by = Id()
    created_at = Moment()
    expires_at = Moment()
    accepted_at = Moment(allow_none=True)


class Acceptance(Schema):
    """The token of the mail."""

    token = Text(200, required=True)


class Accepted(Schema):
    """Where one belongs now."""

    tenant_id = Id()
    role = fields.String()
    redirect_to = fields.String()


class Reference(Schema):
    """A resource."""

    type = Text(80, required=True)
    id = Id(required=True)


class Check(Schema):
    """A question."""

    permission = Text(120, required=True)
    resource = fields.Nested(Reference, load_default=None)


class Checks(Schema):
    """Questions."""

    checks = fields.List(fields.Nested(Check), required=True, validate=validate.Length(max=100))


class ResultSchema(Schema):
    """An answer with its reason."""

    allowed = fields.Boolean()
    reason = fields.String()


class Results(Schema):
    """The answers, in the order of the questions."""

    results = fields.List(fields.Nested(ResultSchema))


class GrantEvent(Schema):
    """Data of ``role.granted`` and ``role.revoked``."""

    user_id = Id(required=True)
    resource_type = fields.String(required=True)
    resource_id = Id(required=True)
    role = fields.String(required=True)


class RoleEvent(Schema):
    """Data of the events about a role itself."""

    role_id = Id(required=True)
    name = fields.String(required=True)
    resource_type = fields.String(required=True)
    permissions = fields.List(fields.String(), required=True)


class InvitationEvent(Schema):
    """Data of the events about an invitation."""

    invitation_id = Id(required=True)
    role = fields.String(required=True)
