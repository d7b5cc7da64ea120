"""Who is calling: an identity proven by a credential, and the principal it makes in a tenant."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from treenail.clock import utcnow
from treenail.errors import Forbidden
from treenail.models import OWNER

FRESH_FOR = timedelta(minutes=10)
"""How long a proof of who one is counts for sensitive acts."""


@dataclass(frozen=True)
class Identity:
    """What `authenticate` proves: a person, and the session that stands behind the proof."""

    user_id: str
    session_id: str
    authenticated_at: datetime | None = None
    methods: tuple[str, ...] = ()


@dataclass(frozen=True)
class Principal:
    """A person acting in a tenant (or in none): what rules decide about."""

    user_id: str
    session_id: str
    email: str
    name: str
    tenant_id: str | None = None
    role: str | None = None
    space: str | None = None
    spaces: tuple[str, ...] = ()
    tenant_kind: str | None = None
    authenticated_at: datetime | None = None

    @property
    def is_owner(self) -> bool:
        """Whether the membership is an owner's."""
        return self.role == OWNER

    @property
    def is_operator(self) -> bool:
        """Whether the principal acts in the operators' tenant."""
        return self.tenant_kind == "provider"

    @property
    def is_fresh(self) -> bool:
        """Whether they proved who they are a short while ago (a step-up, as in RFC 9470)."""
        proven = self.authenticated_at
        return proven is not None and utcnow() - proven < FRESH_FOR


def require_fresh(principal: Principal) -> None:
    """Raise 403 ``reauthentication_required`` unless the proof of who it is is recent."""
    if not principal.is_fresh:
        raise Forbidden(
            "This is sensitive: please prove once more who you are.",
            code="reauthentication_required",
        )
