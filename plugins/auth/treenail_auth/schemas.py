"""Shapes of accounts, log-ins, sessions, second factors and the plugin's events."""

from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema
from treenail.schemas import Id, Moment, Schema, Text

from treenail_auth import emails, strength

LONGEST_EMAIL = 320


class Email(fields.String):
    """An e-mail address, in its normal form."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        try:
            return emails.normal_email(text or "")
        except ValueError as error:
            raise ValidationError(str(error)) from None


class AnyEmail(fields.String):
    """An e-mail address in any of its spellings, or what somebody takes for one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(validate=validate.Length(max=LONGEST_EMAIL), **options)


class NewPassword(fields.String):
    """A password of any composition; that it is hard to guess is found out later."""

    def __init__(self, **options: Any) -> None:
        super().__init__(validate=validate.Length(strength.SHORTEST, strength.LONGEST), **options)


class GivenPassword(fields.String):
    """What somebody says is their password."""

    def __init__(self, **options: Any) -> None:
        super().__init__(validate=validate.Length(max=strength.LONGEST), **options)


class Token(fields.String):
    """A token that was mailed or handed out."""

    def __init__(self, **options: Any) -> None:
        super().__init__(required=True, validate=validate.Length(1, 200), **options)


class Code(fields.String):
    """Six digits of an authenticator app, or a recovery code."""

    def __init__(self, **options: Any) -> None:
        super().__init__(validate=validate.Length(1, 40), **options)


class Registration(Schema):
    """What an account is made from."""

    email = Email(required=True)
    password = NewPassword(required=True)
    name = Text(200, required=True)
    invitation_token = fields.String(
        validate=validate.Length(1, 200),
        metadata={"description": "where registering needs an invitation"},
    )


class Registered(Schema):
    """What was asked for; says nothing about whether the address was known."""

    class Echo(Schema):
        """The person as registered."""

        email = fields.String()
        name = fields.String()

    user = fields.Nested(Echo)


class LogIn(Schema):
    """An e-mail in any of its spellings, and the password."""

    email = AnyEmail(required=True)
    password = GivenPassword(required=True)


class SecondFactor(Schema):
    """The token of a log-in that wants a code, and the code."""

    mfa_token = Token()
    code = Code(required=True)


class MailedToken(Schema):
    """The token of a mail."""

    token = Token()


class Forgot(Schema):
    """Whose password is forgotten."""

    email = AnyEmail(required=True)


class Reset(MailedToken):
    """The token of the mail, and the new password."""

    password = NewPassword(required=True)


class Reauthentication(Schema):
    """The password, or a code of the authenticator in use."""

    password = GivenPassword()
    code = Code()

    @validates_schema
    def _one(self, data: dict[str, Any], **kwargs: Any) -> None:
        if len(data) != 1:
            raise ValidationError("Give either the password or a code.", "password")


class ProfileChange(Schema):
    """What can be changed of oneself; a password only with the current one."""

    name = Text(200)
    email = Email()
    password = NewPassword()
    current_password = GivenPassword()

    @validates_schema
    def _both(self, data: dict[str, Any], **kwargs: Any) -> None:
        if "password" in data and "current_password" not in data:
            raise ValidationError("A new password needs the current one.", "currentPassword")


class EnrolmentSchema(Schema):
    """What an authenticator app is set up with, shown once; pending until confirmed."""

    secret = fields.String()
    otpauth_url = fields.String()
    qr_svg = fields.String()


class FirstCode(Schema):
    """The code that the app shows."""

    code = Code(required=True)


class RecoveryCodes(Schema):
    """Codes that stand in for the app, once each; shown once."""

    recovery_codes = fields.List(fields.String())


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
    """A log-in's tokens, who it is, and where an interface starts (null without a tenant).

    Where a second factor is on, ``mfaRequired`` and ``mfaToken`` and nothing else.
    """

    class Person(Schema):
        """Who logged in."""

        id = Id(attribute="user_id")
        email = fields.String()
        name = fields.String()

    user = fields.Nested(Person)
    redirect_to = fields.String(allow_none=True)
    mfa_required = fields.Boolean()
    mfa_token = fields.String()


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
    """Data of ``session.ended``: why it did."""

    session_id = Id(required=True)
    reason = fields.String(required=True)


class TicketEvent(Schema):
    """Data of ``password.forgotten``: where the address is noted."""

    ticket_id = Id(required=True)
