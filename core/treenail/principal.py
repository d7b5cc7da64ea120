"""Who is calling: an identity proven by a credential, and the principal it makes in a tenant."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from treenail.models import OWNER


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
    extra: Mapping[str, object] = field(default_factory=dict)

    @property
    def is_owner(self) -> bool:
        """Whether the membership is an owner's."""
        return self.role == OWNER

    @property
    def is_operator(self) -> bool:
        """Whether the principal acts in the operators' tenant."""
        return self.tenant_kind == "provider"
