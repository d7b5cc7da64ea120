"""Who calls, and for which tenant: read anew on each request, so that changes act at once."""

import structlog

from treenail import context, platform, trace
from treenail.db import SystemReads
from treenail.errors import BadRequest, Conflict, Problem, Unauthenticated
from treenail.ids import is_id
from treenail.principal import Identity, Principal
from treenail.tenants import principals

TENANT_HEADER = "X-Tenant-Id"
log = structlog.get_logger("treenail.web")


def principal() -> Principal:
    """The caller of the present request; raises `Unauthenticated` on a public route."""
    found: Principal | None = context.kept().get("principal")
    if found is None:
        raise Unauthenticated()
    return found


def identify() -> Identity:
    """The identity that the request's credential proves; raises `Unauthenticated`."""
    for plugin, authenticate in platform.current().registry.implementations("authenticate"):
        try:
            identity: Identity | None = authenticate(request=context.request())
        except Problem:
            raise
        except Exception:
            log.exception("authenticate_failed", plugin=plugin)
            raise Unauthenticated() from None
        if identity is not None:
            return identity
    raise Unauthenticated("This needs a valid access token.")


def resolve(identity: Identity, tenant_id: str | None = None) -> Principal:
    """The principal in the tenant asked for, activated, or the only one.

    Without a membership to go by, a principal in no tenant. Raises `NotFound` for a tenant
    the person is not a member of. Reads across tenants, before any is bound.
    """
    reads = SystemReads("resolve principal")
    found = principals.resolve(reads, identity, tenant_id or _header())
    context.kept().principal = found
    trace.identify(found.user_id, found.tenant_id)
    return found


def require_tenant(found: Principal) -> Principal:
    """The principal, in a tenant; raises the contract's 409 otherwise."""
    if found.tenant_id is None:
        raise Conflict(
            "Say which tenant: activate one, or send X-Tenant-Id.", code="tenant_required"
        )
    return found


def _header() -> str | None:
    value = context.request().headers.get(TENANT_HEADER)
    if value is not None and not is_id(value):
        # Two spellings of one id would be two tenants to whoever compares text.
        raise BadRequest(f"{TENANT_HEADER} is not an id in canonical form.")
    return value
