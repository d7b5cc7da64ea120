"""``/documents/<id>/links`` and ``/links/<token>``."""

from typing import Any

from flask import Blueprint
from treenail import mail
from treenail.db import session
from treenail.web import (
    Page,
    PageRequest,
    authenticated,
    endpoint,
    limited,
    paginate,
    permission,
    principal,
)
from treenail.web.caller import identify

from treenail_workspaces import links
from treenail_workspaces.models import Link
from treenail_workspaces.schemas import LinkSchema, NewLink, Opened, Opening

blueprint = Blueprint("workspaces_links", __name__)
PATH = "/documents/<id:document_id>/links"


@blueprint.post(PATH)
@endpoint(
    permission("document:share", of="document_id"), body=NewLink, answers=LinkSchema, status=201
)
def make_link(document_id: str, body: dict[str, Any]) -> Link:
    """Make a share link; its address is shown now and never again."""
    made, token = links.make(session(), principal(), document_id, body)
    shown: Any = made
    shown.url = mail.link(f"/links/{token}")
    return made


@blueprint.get(PATH)
@endpoint(permission("document:share", of="document_id"), answers=LinkSchema, paged=True)
def list_links(document_id: str, page: PageRequest) -> Page[Link]:
    """The links of a document, without their addresses, the newest first."""
    return paginate(session(), links.on(document_id), Link.id, page)


@blueprint.delete(PATH)
@endpoint(permission("document:share", of="document_id"))
def revoke_links(document_id: str) -> None:
    """End every link of a document, and the access they gave."""
    links.revoke_all(session(), document_id)


@blueprint.delete(f"{PATH}/<id:link_id>")
@endpoint(permission("document:share", of="document_id"))
def revoke_link(document_id: str, link_id: str) -> None:
    """End a link, and the access it gave."""
    links.revoke(session(), document_id, link_id)


@blueprint.post("/links/<token>")
@endpoint(limited(authenticated, "60/minute"), body=Opening, answers=Opened)
def open_link(token: str, body: dict[str, Any]) -> dict[str, Any]:
    """Get the access that a link gives; who is new to the tenant joins it as a guest."""
    return links.open_link(identify(), token, body.get("password"))
