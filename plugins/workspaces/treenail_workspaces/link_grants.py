"""Which grants links gave, so that revoking a link takes back that much and no more."""

from collections.abc import Sequence

from sqlalchemy import delete, select
from treenail import permissions, platform
from treenail.db import TenantSession
from treenail.principal import Principal
from treenail_rbac import grants, hierarchy
from treenail_rbac.models import Grant

from treenail_workspaces.models import Link, LinkGrant
from treenail_workspaces.services import DOCUMENT


def tie(session: TenantSession, maker: Principal, link: Link, opener: Principal) -> None:
    """Give the opener the link's role, unless they have as much without any link."""
    wanted = grants.on(DOCUMENT, link.document_id).where(Grant.user_id == opener.user_id)
    grant = session.scalar(wanted)
    ties = _ties(session, grant)
    if not ties and _has_as_much(session, link, opener):
        return
    present = grant.role if grant else None
    role = _strongest(present, link.role)
    if grant is None or role != present:
        grant = grants.grant(
            session, maker, DOCUMENT, link.document_id, opener.user_id, role or link.role
        )
    if link.id not in {known.link_id for known in ties}:
        own_role = ties[0].own_role if ties else present
        session.add(LinkGrant(link_id=link.id, grant_id=grant.id, own_role=own_role))


def untie(session: TenantSession, link: Link) -> None:
    """Take back what the link gave: to each their own role stays, and what other links gave."""
    tied = select(LinkGrant.grant_id).where(LinkGrant.link_id == link.id)
    given = {grant.id: grant for grant in session.scalars(select(Grant).where(Grant.id.in_(tied)))}
    kept: dict[str, list[str | None]] = {grant_id: [] for grant_id in given}
    rows = session.execute(
        select(LinkGrant, Link.role)
        .join(Link, Link.id == LinkGrant.link_id)
        .where(LinkGrant.grant_id.in_(tied))
    )
    for known, role in rows:
        kept[known.grant_id] += [known.own_role, role if known.link_id != link.id else None]
    for grant_id, grant in given.items():
        left = _strongest(*kept[grant_id])
        if left != grant.role:
            grants.reduce(session, grant, left)


def keep(session: TenantSession, grant: Grant) -> None:
    """Somebody gave this grant in person: no link takes it back any more."""
    session.execute(delete(LinkGrant).where(LinkGrant.grant_id == grant.id))


def _ties(session: TenantSession, grant: Grant | None) -> Sequence[LinkGrant]:
    if grant is None:
        return []
    return session.scalars(select(LinkGrant).where(LinkGrant.grant_id == grant.id)).all()


def _has_as_much(session: TenantSession, link: Link, opener: Principal) -> bool:
    wanted = platform.current().resource_types[DOCUMENT].roles[link.role]
    return all(
        permissions.check(session, opener, name, link.document_id).allowed for name in wanted
    )


def _strongest(*roles: str | None) -> str | None:
    kind = platform.current().resource_types[DOCUMENT]
    return hierarchy.strongest(kind, filter(None, roles))
