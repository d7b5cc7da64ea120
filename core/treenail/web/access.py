"""What a route demands of its caller; the app refuses to start with a route that says nothing."""

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class Access:
    """The demand: nobody in particular, a person, or a permission in a tenant."""

    kind: Literal["public", "authenticated", "permission"]
    permission: str = ""
    of: str | None = None
    fresh: bool = False


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
