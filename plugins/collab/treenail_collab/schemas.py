"""Shapes of the live face."""

from marshmallow import fields
from treenail.schemas import Schema


class CollabToken(Schema):
    """A ticket for sockets: the provider's room is the document's id, its server ``url``."""

    token = fields.String()
    url = fields.String()
    expires_in = fields.Integer()


class Empty(Schema):
    """A body without members."""
