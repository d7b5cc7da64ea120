"""Shapes of tenants, members and the caller."""

from marshmallow import fields, validate

from treenail.schemas import Id, Moment, Schema, Text


class TenantSchema(Schema):
    """A tenant, as its members see it."""

    id = Id()
    name = fields.String()
    plan = fields.String()
    industry = fields.String()
    kind = fields.String()
    created_at = Moment()


class NewTenant(Schema):
    """What a tenant is made from."""

    name = Text(200, required=True)


class Activate(Schema):
    """The space to work in."""

    space = fields.String(validate=validate.Length(1, 40))


class Activated(Schema):
    """Where the session works from now on."""

    tenant = fields.Nested(TenantSchema)
    space = fields.String(allow_none=True)
    redirect_to = fields.String()


class Me(Schema):
    """The caller; plugins add members to ``user``."""

    user = fields.Dict(keys=fields.String())


class MemberSchema(Schema):
    """Somebody's membership."""

    user_id = Id()
    name = fields.String(attribute="user.name")
    email = fields.String(attribute="user.email")
    role = fields.String()
    spaces = fields.List(fields.String())
    created_at = Moment()


class MemberChange(Schema):
    """What can be changed of a membership."""

    role = fields.String(validate=validate.Length(1, 80))
    spaces = fields.List(fields.String(validate=validate.Length(1, 40)))


class TenantEvent(Schema):
    """Data of the events about a tenant."""

    tenant_id = Id(required=True)
    name = fields.String(required=True)


class MemberEvent(Schema):
    """Data of the events about a membership."""

    user_id = Id(required=True)
    role = fields.String(required=True)
