"""Authorization: check, list and reason, all derived from the one ``rules`` hook.

An allow must match and no deny may; no rule at all is a deny. Because a list is the same
conditions as a ``WHERE``, it can't disagree with the check.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog
from sqlalchemy import ColumnElement, Select, and_, false, not_, or_, select
from sqlalchemy.orm import Session

from treenail import platform
from treenail.contributions import ResourceType, Rule
from treenail.errors import NotFound, PermissionDenied
from treenail.models import Tenant
from treenail.principal import Principal

TENANT = "tenant"
log = structlog.get_logger("treenail.permissions")


@dataclass(frozen=True)
class Decision:
    """An answer and its reason; ``exists`` is False when there is no such resource."""

    allowed: bool
    reason: str
    exists: bool = True


def resource_type_of(permission: str) -> ResourceType:
    """The type on whose resources a permission is decided; raises `KeyError` for none.

    ``document:create`` is decided on the workspace the document will lie in.
    """
    types = platform.current().resource_types
    for kind in types.values():
        if kind.creators and permission == f"{kind.name}:create":
            return types[kind.parent.type] if kind.parent else kind
        if any(permission in held for held in kind.roles.values()):
            return kind
    raise KeyError(permission)


def holders(permission: str, kind: ResourceType) -> frozenset[str]:
    """The roles on resources of the type that hold the permission."""
    held = {role for role, permissions in kind.roles.items() if permission in permissions}
    for child in platform.current().resource_types.values():
        if child.parent and child.parent.type == kind.name and permission == f"{child.name}:create":
            held |= child.creators
    return frozenset(held)


def check(
    session: Session, principal: Principal, permission: str, resource_id: str | None = None
) -> Decision:
    """Decide one permission, on a resource or in the tenant at large."""
    return _decide(session, principal, permission, resource_id)[0]


def explain(
    session: Session, principal: Principal, permission: str, resource_id: str | None = None
) -> Decision:
    """Decide as `check` does, with the reason as close as the deciding rule can say it."""
    decision, rule = _decide(session, principal, permission, resource_id)
    if rule is None or rule.explain is None:
        return decision
    target = resource_id or principal.tenant_id or ""
    return replace(decision, reason=rule.explain(session, target))


def _decide(
    session: Session, principal: Principal, permission: str, resource_id: str | None
) -> tuple[Decision, Rule | None]:
    kind = resource_type_of(permission)
    model = kind.model or Tenant
    target = principal.tenant_id if kind.in_tenant else resource_id
    rules = _rules(principal, permission, kind)
    if rules is None:
        return Decision(False, "a rule failed"), None
    conditions = [rule.where.label(f"rule_{n}") for n, rule in enumerate(rules)]
    row = session.execute(
        select(model.id, *conditions).select_from(model).where(model.id == target)
    ).one_or_none()
    if row is None:
        return Decision(False, "no such resource", exists=False), None
    rule = _weigh(rules, row[1:])
    if rule is None:
        return Decision(False, "nothing grants it"), None
    return Decision(rule.effect == "allow", rule.reason), rule


def visible(principal: Principal, permission: str, model: type[Any]) -> Select[Any]:
    """Select the resources of the model on which the principal holds the permission."""
    return select(model).where(condition(principal, permission))


def condition(principal: Principal, permission: str) -> ColumnElement[bool]:
    """``any allow AND NOT any deny``, over the permission's resource type."""
    rules = _rules(principal, permission, resource_type_of(permission))
    allows = [rule.where for rule in rules or () if rule.effect == "allow"]
    denies = [rule.where for rule in rules or () if rule.effect == "deny"]
    if not allows:
        return false()
    return and_(or_(*allows), not_(or_(*denies))) if denies else or_(*allows)


def authorize(
    session: Session, principal: Principal, permission: str, resource_id: str | None = None
) -> None:
    """Let the principal pass, or raise.

    Raises `NotFound` for what it may not see, `PermissionDenied` for what it may see but
    not do.
    """
    decision = check(session, principal, permission, resource_id)
    if decision.allowed:
        return
    if not decision.exists or not _may_see(session, principal, permission, resource_id):
        raise NotFound()
    raise PermissionDenied(permission)


def _may_see(
    session: Session, principal: Principal, permission: str, resource_id: str | None
) -> bool:
    reading = f"{resource_type_of(permission).name}:read"
    if resource_id is None or reading not in platform.current().permissions:
        return True  # the tenant at large is no secret to its members
    return check(session, principal, reading, resource_id).allowed


def _rules(principal: Principal, permission: str, kind: ResourceType) -> list[Rule] | None:
    """Every plugin's rules; None when one of them failed, which denies."""
    rules: list[Rule] = []
    for name, rules_of in platform.current().registry.implementations("rules"):
        try:
            found = rules_of(principal=principal, permission=permission, resource_type=kind)
            rules += found or ()
        except Exception:
            log.exception("rules_failed", plugin=name, permission=permission)
            return None
    return rules


def _weigh(rules: Sequence[Rule], matches: Sequence[Any]) -> Rule | None:
    """The rule that decides, a deny first; None when none holds."""
    weighed = list(zip(rules, matches, strict=True))
    for rule, match in weighed:
        if rule.effect == "deny" and (match or match is None):  # as NOT NULL does in a WHERE
            return rule
    return next((rule for rule, match in weighed if rule.effect == "allow" and match), None)
