"""The whole plugin: settings, table, shapes, routes, and the manifest with its hooks."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from flask import Blueprint
from marshmallow import fields, validate
from sqlalchemy.orm import Mapped, mapped_column
from treenail import mail
from treenail.clock import utcnow
from treenail.contributions import Delivery, EventType, Parent, ResourceType, Subscription
from treenail.db import Identified, Model, Tenanted, session, tenant_session, uuid_type
from treenail.events import emit
from treenail.permissions import visible
from treenail.plugin import Plugin, hookimpl
from treenail.schemas import Id, Moment, Schema
from treenail.settings import Section, setting
from treenail.tenants import services as tenants
from treenail.web import Page, PageRequest, endpoint, paginate, permission, principal

blueprint = Blueprint("greetings", __name__)


@dataclass(frozen=True)
class GreetingsSettings(Section):
    """``TREENAIL_GREETINGS_<KEY>``."""

    signature: str = setting(fields.Str(), "Sent with Treenail", "the last line of the mail")


class Greeting(Identified, Tenanted, Model):
    """Words from one member to another; ``mailed_at`` once they have gone out."""

    __tablename__ = "greetings_greetings"
    sender_id: Mapped[str] = mapped_column(uuid_type())
    recipient_id: Mapped[str] = mapped_column(uuid_type())
    words: Mapped[str]
    mailed_at: Mapped[datetime | None]


class GreetingSchema(Schema):
    """A greeting, as it comes in and goes out."""

    id = Id(dump_only=True)
    sender_id = Id(dump_only=True)
    recipient_id = Id(required=True)
    words = fields.Str(required=True, validate=validate.Length(1, 1000))
    mailed_at = Moment(dump_only=True)


class GreetingEvent(Schema):
    """Which greeting it is."""

    greeting_id = Id(required=True)


@blueprint.post("/greetings")
@endpoint(permission("greeting:create"), body=GreetingSchema, answers=GreetingSchema, status=201)
def greet(body: dict[str, Any]) -> Greeting:
    """Greet a member."""
    tenants.member(session(), body["recipient_id"])  # 404 for a stranger
    made = Greeting(sender_id=principal().user_id, **body)
    session().add(made)
    session().flush()
    emit(session(), "greeting.sent", {"greetingId": made.id}, subject=made.id)
    return made


@blueprint.get("/greetings")
@endpoint(permission("tenant:read"), answers=GreetingSchema, paged=True)
def list_greetings(page: PageRequest) -> Page[Greeting]:
    """The greetings one may see, the newest first."""
    return paginate(session(), visible(principal(), "greeting:read", Greeting), Greeting.id, page)


@blueprint.get("/greetings/<id:greeting_id>")
@endpoint(permission("greeting:read", of="greeting_id"), answers=GreetingSchema)
def show_greeting(greeting_id: str) -> Greeting:
    """One greeting."""
    return session().get_one(Greeting, greeting_id)


class Greetings(Plugin):
    """Greetings between the members of a tenant."""

    name = "greetings"
    version = "1.0"
    settings_class = GreetingsSettings

    @hookimpl
    def blueprints(self) -> list[Blueprint]:
        """``/greetings``."""
        return [blueprint]

    @hookimpl
    def resource_types(self) -> list[ResourceType]:
        """Greetings lie in the tenant; its guests neither send nor see any."""
        roles = {"reader": frozenset({"greeting:read"})}
        parent = Parent("tenant", Greeting.tenant_id)
        inherits = {"owner": "reader", "admin": "reader", "member": "reader"}
        return [ResourceType("greeting", roles, parent, Greeting, inherits, frozenset(inherits))]

    @hookimpl
    def event_types(self) -> list[EventType]:
        """A greeting was sent."""
        example = {"greetingId": "01890a5d-ac96-774b-bcce-b302099a8057"}
        return [EventType("greeting.sent", GreetingEvent, "Somebody was greeted.", example)]

    @hookimpl
    def subscriptions(self) -> list[Subscription]:
        """Bringing it by mail."""
        return [Subscription("post", ("greeting.sent",), self.post)]

    def post(self, delivery: Delivery) -> None:
        """Mail the greeting, unless an earlier try did."""
        settings = cast(GreetingsSettings, self.settings)
        with tenant_session(delivery.event.tenant_id or "") as own:
            greeting = own.get_one(Greeting, delivery.event.data["greetingId"])
            if greeting.mailed_at is None:
                recipient = tenants.member(own, greeting.recipient_id).user
                text = f"{greeting.words}\n\n{settings.signature}\n"
                mail.send(own, recipient.email, "A greeting", text)
                greeting.mailed_at = utcnow()
