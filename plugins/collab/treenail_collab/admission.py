"""Who may have a document open, and how: asked at the door, and again on every change."""

from collections.abc import Mapping
from dataclasses import dataclass

from treenail import epochs, permissions, platform
from treenail.db import system_session, tenant_session
from treenail.errors import NotFound, Unauthenticated
from treenail.ids import is_id
from treenail.principal import Identity, Principal
from treenail.tenants import principals
from treenail_workspaces.models import Document

UNAUTHENTICATED, DENIED = 4401, 4403


class Refused(Exception):
    """This socket is not, or no longer, for this caller; closed with the code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True)
class Admission:
    """What a person may do with a document, and the state of their rights that this follows."""

    principal: Principal
    read_only: bool
    rights: int


def rights(epoch_of: Mapping[str, int], tenant_id: str, user_id: str) -> int:
    """The state of a person's rights in a tenant: both epochs only grow, so their sum tells."""
    return epoch_of.get(tenant_id, 0) + epoch_of.get(user_id, 0)


def admit(user_id: str, session_id: str, tenant_id: str, document_id: str) -> Admission:
    """Let a session at a document, or raise `Refused`; takes a few short transactions."""
    # Read first: what changes from here on is a later state, and asked about again.
    with system_session("state of rights", read_only=True) as session:
        state = rights(epochs.read(session, (tenant_id, user_id)), tenant_id, user_id)
    principal = _principal(user_id, session_id, tenant_id)
    if not is_id(document_id):
        raise Refused(DENIED, "no such document")
    with tenant_session(tenant_id, read_only=True) as session:
        if not permissions.check(session, principal, "document:read", document_id).allowed:
            raise Refused(DENIED, "no such document")
        document = session.get(Document, document_id)
        if document is None or document.mode != "crdt":
            raise Refused(DENIED, "the document is not edited this way")
        writes = permissions.check(session, principal, "document:update", document_id)
    return Admission(principal, read_only=not writes.allowed, rights=state)


def _principal(user_id: str, session_id: str, tenant_id: str) -> Principal:
    hook = platform.current().registry.hooks.hook.resume_session
    try:
        identity: Identity | None = hook(session_id=session_id)
        if identity is None or identity.user_id != user_id:
            raise Refused(UNAUTHENTICATED, "the session has ended")
        with system_session("admit to a document", read_only=True) as session:
            return principals.resolve(session, identity, tenant_id)
    except Unauthenticated as error:
        raise Refused(UNAUTHENTICATED, "the session has ended") from error
    except NotFound as error:
        raise Refused(DENIED, "no such document") from error
