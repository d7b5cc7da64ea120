"""What a route demands of its caller; the app refuses to start with a route that says nothing."""

from dataclasses import dataclass, replace
from typing import Literal

from treenail.rates import Rate


@dataclass(frozen=True)
class Access:
    """The demand: nobody in particular, a person, or a permission in a tenant."""

    kind: Literal["public", "authenticated", "permission"]
    permission: str = ""
    of: str | None = None
    fresh: bool = False
    rate: Rate | None = None
    unlimited: bool = False
    recorded: bool = False


public = Access("public")
"""Anybody; the caller is not looked at."""

authenticated = Access("authenticated")
"""A person, perhaps without a tenant; ``db.session`` is not available."""


def permission(name: str, of: str | None = None) -> Access:
    """A permission, on the resource whose id the view argument ``of`` holds.

    Without ``of`` it is decided in the tenant at large. Where it is the tenant's own
    permission, ``of`` names the tenant of the path, which the call is then bound to.
    """
    return Access("permission", name, of)


def fresh(access: Access) -> Access:
    """The same demand, by somebody who proved who they are within the last ten minutes.

    For sensitive acts: ``@endpoint(fresh(authenticated))``. Others are answered 403
    ``reauthentication_required``. Where it depends on the input, a service calls
    `treenail.principal.require_fresh`.
    """
    if access.kind == "public":
        raise ValueError("nobody in particular can't be asked to prove who they are")
    return replace(access, fresh=True)


def recorded(access: Access) -> Access:
    """The same demand of a reading that goes on record, as everything that writes does.

    Raises `ValueError` for anything but a permission: there is no tenant to record it in.
    """
    if access.kind != "permission":
        raise ValueError("only what happens in a tenant is recorded")
    return replace(access, recorded=True)


def limited(access: Access, rate: str | None) -> Access:
    """The same demand, of each caller at most at this rate: ``limited(public, "20/hour")``.

    Counted for this route alone, beside what holds everywhere (``TREENAIL_RATE_LIMIT``); None
    for a route that machines ask and no limit should keep from answering. Raises `ValueError`
    for what is no rate.
    """
    if rate is None:
        return replace(access, unlimited=True)
    return replace(access, rate=Rate.parse(rate))
