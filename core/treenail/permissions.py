"""Authorization: check, list and reason, all derived from the one ``rules`` hook.

An allow must match and no deny may; no rule at all is a deny. Because a list is the same
conditions as a ``WHERE``, it can't disagree with the check.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog
from sqlalchemy import (
    ColumnElement,
    LargeBinary,
    Select,
    and_,
    bindparam,
    false,
    inspect,
    not_,
    or_,
    select,
)
from sqlalchemy.sql.elements import True_

from treenail import platform
from treenail.contributions import ResourceType, Rule
from treenail.db import Plan, Row, Runs, TenantSession
from treenail.errors import NotFound, PermissionDenied
from treenail.models import Tenant
from treenail.pointwise import pointwise
from treenail.principal import Principal

TENANT = "tenant"
log = structlog.get_logger("treenail.permissions")


@dataclass(frozen=True)
class Decision:
    """An answer and its reason; ``exists`` is False when there is no such resource.

    ``row`` is the resource on which it was decided.
    """

    allowed: bool
    reason: str
    exists: bool = True
    row: Row | None = None


def resource_type_of(permission: str) -> ResourceType:
    """The type on whose resources a permission is decided; raises `KeyError` for none.

    ``document:create`` is decided on the workspace the document will lie in.
    """
    return platform.current().keep((resource_type_of, permission), lambda: _find_type(permission))


def _find_type(permission: str) -> ResourceType:
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
    session: Runs, principal: Principal, permission: str, resource_id: str | None = None
) -> Decision:
    """Decide one permission, on a resource or in the tenant at large."""
    return _decide(session, principal, permission, resource_id)[0]


def explain(
    session: TenantSession, principal: Principal, permission: str, resource_id: str | None = None
) -> Decision:
    """Decide as `check` does, with the reason as close as the deciding rule can say it."""
    decision, decisive = _decide(session, principal, permission, resource_id)
    say = None if decisive is None else _deciding(principal, permission)[decisive].explain
    if say is None:
        return decision
    return replace(decision, reason=say(session, resource_id or principal.tenant_id or ""))


def _decide(
    session: Runs, principal: Principal, permission: str, resource_id: str | None
) -> tuple[Decision, int | None]:
    """The decision, and the place of the rule that decided."""
    target = principal.tenant_id if resource_type_of(permission).in_tenant else resource_id
    question = _question(principal, permission)
    if question is None:
        return Decision(False, "a rule failed"), None
    found = session.rows(question.plan, target=target)
    if not found:
        return Decision(False, "no such resource", exists=False), None
    matches = [getattr(found[0], f"rule_{n}") for n in range(len(question.verdicts))]
    decisive = _weigh(question.verdicts, matches)
    if decisive is None:
        return Decision(False, "nothing grants it"), None
    effect, reason = question.verdicts[decisive]
    return Decision(effect == "allow", reason, row=found[0]), decisive


@dataclass(frozen=True)
class _Question:
    """What decides a permission for a principal: each rule's effect and reason, one select."""

    verdicts: list[tuple[str, str]]
    plan: Plan


def _question(principal: Principal, permission: str) -> _Question | None:
    """Made once while principal and plugins stay the same; None when a rule failed."""
    try:
        return platform.current().keep(
            (_question, principal, permission), lambda: _make_question(principal, permission)
        )
    except _RuleFailed:
        return None


def _make_question(principal: Principal, permission: str) -> _Question:
    rules = _deciding(principal, permission)
    verdicts = [(rule.effect, rule.reason) for rule in rules]
    return _Question(verdicts, Plan(lambda: _with_target(permission, rules)))


def _deciding(principal: Principal, permission: str) -> list[Rule]:
    """The rules but for allows after one that always holds: those decide nothing any more."""
    kept: list[Rule] = []
    settled = False
    for rule in _rules(principal, permission):
        if rule.effect == "deny" or not settled:
            kept.append(rule)
        settled = settled or (rule.effect == "allow" and isinstance(rule.where, True_))
    return kept


def _with_target(permission: str, rules: Sequence[Rule]) -> Select[Any]:
    """Select the resource, but what is binary, and which of the rules hold for it."""
    model = resource_type_of(permission).model or Tenant
    mapped = [getattr(model, attribute.key) for attribute in inspect(model).column_attrs]
    columns = [column for column in mapped if not isinstance(column.type, LargeBinary)]
    conditions = [_asked(rule, model).label(f"rule_{n}") for n, rule in enumerate(rules)]
    chosen = select(*columns, *conditions).select_from(model)
    return chosen.where(model.id == bindparam("target"))


def visible(principal: Principal, permission: str, model: type[Any]) -> Select[Any]:
    """Select the resources of the model on which the principal holds the permission."""
    return select(model).where(condition(principal, permission))


def condition(principal: Principal, permission: str) -> ColumnElement[bool]:
    """``any allow AND NOT any deny``, over the permission's resource type."""
    try:
        rules = _rules(principal, permission)
    except _RuleFailed:
        return false()
    allows = [rule.where for rule in rules if rule.effect == "allow"]
    denies = [rule.where for rule in rules if rule.effect == "deny"]
    if not allows:
        return false()
    return and_(or_(*allows), not_(or_(*denies))) if denies else or_(*allows)


def authorize(
    session: Runs, principal: Principal, permission: str, resource_id: str | None = None
) -> Row:
    """Let the principal pass, or raise; the resource as it is, but what is binary.

    Raises `NotFound` for what it may not see, `PermissionDenied` for what it may see but
    not do.
    """
    decision = check(session, principal, permission, resource_id)
    if decision.allowed and decision.row:
        return decision.row
    if not decision.exists or not _may_see(session, principal, permission, resource_id):
        raise NotFound()
    raise PermissionDenied(permission)


def _may_see(session: Runs, principal: Principal, permission: str, resource_id: str | None) -> bool:
    reading = f"{resource_type_of(permission).name}:read"
    if resource_id is None or reading not in platform.current().permissions:
        return True  # the tenant at large is no secret to its members
    return check(session, principal, reading, resource_id).allowed


def _asked(rule: Rule, model: type[Any]) -> ColumnElement[bool]:
    """The rule's condition for one row; a deny's as it is, because unknown means denied there."""
    return rule.where if rule.effect == "deny" else pointwise(rule.where, model.__table__)


class _RuleFailed(Exception):
    """A plugin's rules raised, which denies."""


def _rules(principal: Principal, permission: str) -> list[Rule]:
    """Every plugin's rules."""
    kind = resource_type_of(permission)
    rules: list[Rule] = []
    for name, rules_of in platform.current().registry.implementations("rules"):
        try:
            found = rules_of(principal=principal, permission=permission, resource_type=kind)
            rules += found or ()
        except Exception:
            log.exception("rules_failed", plugin=name, permission=permission)
            raise _RuleFailed from None
    return rules


def _weigh(verdicts: Sequence[tuple[str, str]], matches: Sequence[Any]) -> int | None:
    """The place of the rule that decides, a deny's first; None when none holds."""
    weighed = [(n, effect, matches[n]) for n, (effect, _) in enumerate(verdicts)]
    for place, effect, match in weighed:
        if effect == "deny" and (match or match is None):  # as NOT NULL does in a WHERE
            return place
    return next((n for n, effect, match in weighed if effect == "allow" and match), None)
