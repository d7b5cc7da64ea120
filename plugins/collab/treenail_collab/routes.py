"""``POST /documents/<id>/collab-token`` and the socket ``/collab/<documentId>``."""

from typing import Any
from urllib.parse import urlsplit

import structlog
from flask import Blueprint, Response, request
from treenail import platform
from treenail.crypto import BadToken
from treenail.errors import BadRequest
from treenail.web import endpoint, permission, principal, public

from treenail_collab import admission, tickets
from treenail_collab.admission import DENIED, UNAUTHENTICATED, Admission, Refused
from treenail_collab.live.interfaces import DocumentKey, Peer
from treenail_collab.schemas import CollabToken, Empty
from treenail_collab.service import live
from treenail_collab.sockets import Detached, HandshakeError, requested_subprotocols, take_over

blueprint = Blueprint("live", __name__)
log = structlog.get_logger("treenail.collab")


@blueprint.post("/documents/<id:document_id>/collab-token")
@endpoint(permission("document:read", of="document_id"), body=Empty, answers=CollabToken)
def collab_token(document_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """A token to open sockets with, for ten minutes; an open socket outlives it."""
    return {
        "token": tickets.issue(principal(), document_id),
        "url": _socket_base(),
        "expires_in": tickets.LIFETIME,
    }


@blueprint.get("/collab/<document_id>", websocket=True)
@endpoint(public)
def collab(document_id: str) -> Response:
    """The y-websocket protocol; public, because the token is what admits."""
    offered = requested_subprotocols(request.environ)
    subprotocol = offered[0] if offered else None
    token = request.args.get("token") or subprotocol or ""
    try:
        _check_origin()
        found = _admit(token, document_id)
    except Refused as refused:
        # Accepted and then closed: the provider would retry a refused handshake for ever.
        log.info("socket_refused", code=refused.code, reason=refused.reason)
        live().hub.dismiss(_take_over(subprotocol), refused.code, refused.reason)
    else:
        live().hub.adopt(_take_over(subprotocol), _peer(document_id, found))
        live().sentinel.wake()
    return Detached()


def _admit(token: str, document_id: str) -> Admission:
    try:
        ticket = tickets.read(token)
    except BadToken as error:
        raise Refused(UNAUTHENTICATED, "the token is not valid") from error
    if ticket.document_id != document_id:
        raise Refused(DENIED, "the token is for another document")
    return admission.admit(ticket.user_id, ticket.session_id, ticket.tenant_id, document_id)


def _peer(document_id: str, found: Admission) -> Peer:
    caller = found.principal
    return Peer(
        document=DocumentKey(caller.tenant_id or "", document_id),
        user_id=caller.user_id,
        name=caller.name,
        session_id=caller.session_id,
        read_only=found.read_only,
        rights=found.rights,
    )


def _take_over(subprotocol: str | None) -> int:
    try:
        return take_over(request.environ, subprotocol)
    except HandshakeError as error:
        raise BadRequest(str(error)) from error


def _check_origin() -> None:
    """Browsers send sockets from any page: only ours, and those allowed, may open one."""
    origin = request.headers.get("Origin")
    if origin is None or origin in platform.current().settings.cors_origins:
        return
    if urlsplit(origin).netloc.lower() != request.host.lower():
        raise Refused(DENIED, "this origin is not allowed")


def _socket_base() -> str:
    base = platform.current().settings.public_url or request.host_url
    return f"ws{base.rstrip('/').removeprefix('http')}/api/v1/collab"
