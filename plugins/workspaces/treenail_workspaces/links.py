"""Share links: made, opened by whoever has the token, and revoked with what they gave.

A link works only as long as its maker could share the document with that role themselves.
Whoever is new joins the tenant as a guest of no space, with a grant on this one document.
"""

import hashlib
import secrets
from datetime import timedelta
from typing import Any

from sqlalchemy import Select, case, literal, or_, select, update
from treenail import permissions, platform
from treenail.clock import utcnow
from treenail.db import Runs, TenantSession, system_session, tenant_session
from treenail.errors import (
    Forbidden,
    Invalid,
    NotFound,
    PermissionDenied,
    TooManyRequests,
    Unauthenticated,
)
from treenail.events import emit
from treenail.principal import Identity, Principal
from treenail.tenants import principals
from treenail.tenants import services as tenants
from treenail_rbac import ceilings

from treenail_workspaces import link_grants, link_passwords, services
from treenail_workspaces.models import Document, Link
from treenail_workspaces.services import DOCUMENT

TRIES, WINDOW = 10, timedelta(minutes=15)
"""So many passwords may be tried on a link in so long; the right one starts anew."""


def make(
    session: TenantSession, by: Principal, document_id: str, data: dict[str, Any]
) -> tuple[Link, str]:
    """Make a link; returns it with its token, which is known now and never again.

    ``data`` has ``role`` and perhaps ``expires_at`` and ``password``. Raises
    `PermissionDenied` beyond one's ceiling.
    """
    ceilings.check(session, by, DOCUMENT, document_id, data["role"])
    if (expires_at := data.get("expires_at")) is not None and expires_at <= utcnow():
        raise Invalid({"expiresAt": ["Already past."]})
    token, password = secrets.token_urlsafe(32), data.get("password")
    made = Link(
        document_id=document_id,
        role=data["role"],
        token_hash=_hash(token),
        password_hash=None if password is None else link_passwords.hash_password(password),
        expires_at=expires_at,
        created_by=by.user_id,
    )
    session.add(made)
    session.flush()
    _tell(session, "link.created", made)
    return made, token


def on(document_id: str) -> Select[Link]:
    """Select the links of a document."""
    return select(Link).where(Link.document_id == document_id)


def revoke(session: TenantSession, document_id: str, link_id: str) -> None:
    """End a link and what it gave; raises `NotFound`."""
    found = session.scalar(on(document_id).where(Link.id == link_id).with_for_update())
    if found is None:
        raise NotFound()
    _end(session, found)


def revoke_all(session: TenantSession, document_id: str) -> None:
    """End every link of a document."""
    for found in session.scalars(on(document_id).with_for_update()).all():
        _end(session, found)


def open_link(identity: Identity, token: str, password: str | None) -> dict[str, Any]:
    """Give a person what a link gives; returns ``document``, ``role`` and ``tenant_id``.

    Raises `NotFound` for a link that is unknown, revoked or expired, `Forbidden` without its
    password, `TooManyRequests`, and `PermissionDenied` when its maker could not give that now.
    """
    with system_session("find share link", read_only=True) as session:
        found = session.scalar(select(Link).where(Link.token_hash == _hash(token)))
        if found is None or (found.expires_at and found.expires_at <= utcnow()):
            raise _unusable()
        maker = _maker(session, found)
    if found.password_hash is not None:
        _ask_password(found, found.password_hash, password)
    with tenant_session(found.tenant_id) as session:
        return _enter(session, found.id, maker, identity)


def _enter(
    session: TenantSession, link_id: str, maker: Principal, identity: Identity
) -> dict[str, Any]:
    """Locked, so that a link being revoked meanwhile gives nothing any more."""
    link = session.scalar(select(Link).where(Link.id == link_id).with_for_update())
    if link is None:
        raise _unusable()
    _check_maker(session, maker, link)
    tenants.join(session, identity.user_id, "guest", [])
    opener = principals.resolve(session, identity, session.tenant_id)
    link_grants.tie(session, maker, link, opener)
    link.tries = 0
    _tell(session, "link.opened", link)
    document = session.get_one(Document, link.document_id)
    services.add_roles(session, opener, DOCUMENT, [document])
    role = getattr(document, "role", None)
    return {"document": document, "role": role, "tenant_id": session.tenant_id}


def _maker(session: Runs, link: Link) -> Principal:
    try:
        return principals.resolve(session, Identity(link.created_by, ""), link.tenant_id)
    except (NotFound, Unauthenticated):
        raise _unusable() from None


def _check_maker(session: TenantSession, maker: Principal, link: Link) -> None:
    sharing = permissions.check(session, maker, "document:share", link.document_id)
    if not sharing.allowed:
        raise PermissionDenied(
            "document:share", "Whoever made this link may not share the document any more."
        )
    ceilings.check(session, maker, DOCUMENT, link.document_id, link.role)


def _ask_password(link: Link, known: bytes, password: str | None) -> None:
    """Counted before it is looked at, in a transaction of its own: guesses at once count too."""
    if password is None:
        raise Forbidden("This link asks for a password.", code="link_password_required")
    if platform.current().settings.rate_limits:
        _take_try(link)
    if not link_passwords.matches(password, known):
        raise Forbidden("That is not the link's password.", code="link_password_wrong")


def _take_try(link: Link) -> None:
    now = utcnow()
    rested = Link.tries_since <= now - WINDOW
    change = (
        update(Link)
        .where(Link.id == link.id, or_(Link.tries < TRIES, rested))
        .values(
            tries=case((rested, 1), else_=Link.tries + 1),
            tries_since=case((rested, literal(now, Link.tries_since.type)), else_=Link.tries_since),
        )
    )
    with tenant_session(link.tenant_id) as session:
        taken: Any = session.execute(change)
    if not taken.rowcount:
        rest = link.tries_since + WINDOW - now
        raise TooManyRequests(max(1, round(rest.total_seconds())), TRIES)


def _end(session: TenantSession, link: Link) -> None:
    link_grants.untie(session, link)
    session.delete(link)
    _tell(session, "link.revoked", link)


def _tell(session: TenantSession, event: str, link: Link) -> None:
    document = session.get_one(Document, link.document_id)
    data = {
        "linkId": link.id,
        "documentId": link.document_id,
        "workspaceId": document.workspace_id,
        "role": link.role,
    }
    emit(session, event, data, subject=link.document_id)


def _unusable() -> NotFound:
    return NotFound("This link can't be used.", code="link_invalid")


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
