"""Shapes of accounts, log-ins, sessions and the plugin's events."""

from typing import Any

from marshmallow import ValidationError, fields, validate
from treenail.schemas import Id, Moment, Schema, Text

from treenail_auth import accounts

LONGEST_EMAIL = 320


class Email(fields.String):
    """An e-mail address, in its normal form."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        try:
            return accounts.normal_email(text or "")
        except ValueError as error:
            raise ValidationError(str(error)) from None


class Registration(Schema):
    """What an account is made from; a password may have any composition."""

    email = Email(required=True)
    password = fields.String(
        required=True,
        validate=validate.Length(accounts.SHORTEST_PASSWORD, accounts.LONGEST_PASSWORD),
    )
    name = Text(200, required=True)


class Registered(Schema):
    """What was asked for; says nothing about whether the address was known."""

    class Echo(Schema):
        """The person as registered."""

        email = fields.String()
        name = fields.String()

    user = fields.Nested(Echo)


class LogIn(Schema):
    """An e-mail in any of its spellings, and the password."""

    email = fields.String(required=True, validate=validate.Length(max=LONGEST_EMAIL))
    password = fields.String(required=True, validate=validate.Length(max=accounts.LONGEST_PASSWORD))


class Refresh(Schema):
    """The refresh token that came last."""

    refresh_token = fields.String(required=True, validate=validate.Length(max=200))


class TokenPair(Schema):
    """An access token for a quarter of an hour, and the token that renews it."""

    access_token = fields.String()
    refresh_token = fields.String()
    token_type = fields.String()
    expires_in = fields.Integer(metadata={"description": "seconds"})


class LoggedIn(TokenPair):
    """A log-in's tokens, who it is, and where an interface starts (null without a tenant)."""

    class Person(Schema):
        """Who logged in."""

        id = Id(attribute="user_id")
        email = fields.String()
        name = fields.String()

    user = fields.Nested(Person)
    redirect_to = fields.String(allow_none=True)


class SessionSchema(Schema):
    """One of the caller's own sessions; ``current`` is the one asking."""

    id = Id()
    current = fields.Boolean()
    created_at = Moment()
    last_used_at = Moment()
    expires_at = Moment()
    ip = fields.String()
    user_agent = fields.String()


class UserEvent(Schema):
    """Data of the events about an account."""

    user_id = Id(required=True)


class LogInEvent(UserEvent):
    """Data of ``user.logged_in``: by which methods (RFC 8176)."""

    session_id = Id(required=True)
    amr = fields.List(fields.String(), required=True)


class SessionEvent(UserEvent):
    """Data of ``session.ended``: logged_out, revoked or token_reused."""

    session_id = Id(required=True)
    reason = fields.String(required=True)
