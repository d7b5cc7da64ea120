"""What plugins contribute: the plain data that register hooks return."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from marshmallow import Schema
from sqlalchemy import ColumnElement
from sqlalchemy.orm import InstrumentedAttribute, Session

from treenail.models import Tenant, User


@dataclass(frozen=True)
class Parent:
    """The resource a resource lies in: the parent type's name and the column that names it.

    A type without a model has no column either.
    """

    type: str
    column: InstrumentedAttribute[Any] | None = None


@dataclass(frozen=True)
class ResourceType:
    """Something with permissions: ``document`` brings ``document:read`` and so on.

    ``roles`` maps each role one can be granted on such a resource, strongest first, to its
    permissions.
    ``inherits`` maps a role on the parent to the role it means here, so that rights run down
    the parent chain. ``creators`` are the parent's roles that hold ``<name>:create``.
    Without a model it stands for permissions in the tenant at large.
    """

    name: str
    roles: Mapping[str, frozenset[str]]
    parent: Parent | None = None
    model: type[Any] | None = None
    inherits: Mapping[str, str] = field(default_factory=dict)
    creators: frozenset[str] = frozenset()

    @property
    def in_tenant(self) -> bool:
        """Whether its permissions are decided on the tenant itself."""
        return self.model is None or self.model is Tenant

    @property
    def permissions(self) -> frozenset[str]:
        """Every permission this type knows."""
        created = {f"{self.name}:create"} if self.creators else set()
        return frozenset(created.union(*self.roles.values()))


@dataclass(frozen=True)
class Rule:
    """One reason to allow or deny: for the rows of the resource type where ``where`` holds.

    For permissions in the tenant at large there is no row and ``where`` is a bare condition.
    An unknown condition (NULL) never allows, and always denies. ``explain`` says the reason
    more closely, for one resource where the rule holds; called only when somebody asks why.
    """

    effect: Literal["allow", "deny"]
    where: ColumnElement[bool]
    reason: str
    explain: Callable[[Session, str], str] | None = None


@dataclass(frozen=True)
class Event:
    """A fact that was committed; ``data`` follows its type's schema."""

    id: str
    type: str
    tenant_id: str | None
    actor_id: str | None
    subject: str | None
    data: Mapping[str, Any]
    occurred_at: datetime
    request_id: str | None


@dataclass(frozen=True)
class EventType:
    """A kind of event: its name ``<resource>.<past tense>``, its data and an example of them.

    An internal one is never offered to the outside.
    """

    name: str
    schema: type[Schema]
    description: str
    example: Mapping[str, Any]
    version: int = 1
    internal: bool = False


@dataclass(frozen=True)
class Policy:
    """How a target is tried.

    ``schedule`` has the seconds before each retry, ``jitter`` the part of them by which they
    differ; ``lease`` the seconds one try may take before it counts as failed. At most
    ``concurrency`` tries at a time, and never more than a quarter of a worker's threads. With
    ``fifo`` in order: the next only when the one before is done or dead.
    """

    schedule: tuple[float, ...] = (5, 60, 600, 3600)
    jitter: float = 0.2
    lease: float = 60
    fifo: bool = False
    concurrency: int = 16


@dataclass(frozen=True)
class Target:
    """One receiver of a subscription; the key tells it from its siblings."""

    key: str = ""
    policy: Policy = Policy()


@dataclass(frozen=True)
class Delivery:
    """One try at bringing an event to a target; ``attempt`` counts from 1."""

    id: str
    event: Event
    target: str
    attempt: int


def only_target(event: Event) -> Sequence[Target]:
    """A single target with the default policy."""
    return (Target(),)


@dataclass(frozen=True)
class Subscription:
    """Interest in events: patterns (``document.*``), whom they go to, and the handler.

    The handler runs outside any transaction, at least once; it tells doubles by the event's
    id. What it raises is recorded and tried again by the target's policy.

    A ``batch_handler`` is for what is quick and only writes to the database: it is given
    first tries of one target and one tenant together, writes all or none of them, and when it
    raises, the handler gets them one by one.
    """

    name: str
    events: tuple[str, ...]
    handler: Callable[[Delivery], None]
    targets: Callable[[Event], Sequence[Target]] = only_target
    batch_handler: Callable[[Sequence[Delivery]], None] | None = None


@dataclass(frozen=True)
class PeriodicTask:
    """Work to be done about every ``seconds``, by one process at a time.

    A run that takes longer than ``lease`` seconds counts as dead: another may begin.
    """

    name: str
    seconds: float
    run: Callable[[], None]
    lease: float = 300


@dataclass(frozen=True)
class HealthCheck:
    """Raises when the thing it is named for is not well."""

    name: str
    check: Callable[[], None]


@dataclass(frozen=True)
class Provisioning:
    """A tenant being made whole, in one transaction; steps may run again for another owner.

    ``password_hash`` is what `hash_password` made of the password that came with the owner.
    """

    session: Session
    tenant: Tenant
    owner: User
    password_hash: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Purged:
    """A plugin whose data is about to go, and the names by which others know what it brought.

    Both sets are empty when its distribution isn't there to tell.
    """

    plugin: str
    resource_types: frozenset[str] = frozenset()
    event_types: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Leftover:
    """Rows that a purged plugin would leave behind in a table that isn't its own."""

    about: str
    model: type[Any]
    where: ColumnElement[bool]
