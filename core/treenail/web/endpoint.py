"""The decorator every route carries: access, shapes in and out, one unit of work.

A thin wrapper of our own around plain Flask views (flask-smorest would ask plugins for its
own Blueprint class). A call goes: who, which tenant, may they, is the input good, do it,
commit, answer. Sent again with the same ``Idempotency-Key``, it ends at "may they".
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property, update_wrapper
from typing import Any

from flask import Response
from sqlalchemy import inspect

from treenail import context, idempotency, permissions
from treenail.db import Row, bind_tenant, db, plans, session
from treenail.db.reads import reader
from treenail.errors import NotFound
from treenail.idempotency import Use
from treenail.principal import Identity, require_fresh
from treenail.schemas import Schema, shared
from treenail.web import body as bodies
from treenail.web import caller, etags, limits, once, recording
from treenail.web.access import Access
from treenail.web.pages import Page, PageQuery, PageRequest

READS = frozenset({"GET", "HEAD", "OPTIONS"})
View = Callable[..., Any]


class Nothing(Response):
    """An answer without a body, and so of no type (Flask's default is HTML)."""

    default_mimetype = None


@dataclass(eq=False)
class Endpoint:
    """A view with what it declares; callable as a Flask view function."""

    view: View
    access: Access
    body: type[Schema] | None
    query: type[Schema] | None
    answers: type[Schema] | None
    status: int
    paged: bool

    def __call__(self, **arguments: Any) -> Any:
        """Answer a request; raises `treenail.errors.Problem`."""
        kept = context.kept()
        kept.reader = reads = reader()
        try:
            with ExitStack() as stack:
                return self._answer(arguments, stack)
        except Exception as error:
            recording.failure(self.access, arguments, error)
            raise
        finally:
            reads.close()
            del kept.reader

    def _answer(self, arguments: dict[str, Any], stack: ExitStack) -> Any:
        use = self._admit(arguments, stack)
        if use and (replayed := once.replay(use)):
            return replayed
        writes, request = self._writes, context.request()
        if "If-Match" in request.headers and request.method not in READS:
            _require_match(arguments)
        answer = self._respond(self.view(**self._input(arguments)))
        if use:
            answer = once.keep(use, answer)
        if writes:
            recording.within(self.access, arguments)
            db.session.commit()
        elif db.session.registry.has():
            db.session.flush()  # refused, where a reading view changed something
        if not writes:
            recording.apart(self.access, arguments)
        return answer

    def _input(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if self.paged:
            arguments["page"] = PageRequest(**bodies.query(PageQuery, partial_of=self.query))
        if self.query:
            arguments["query"] = bodies.query(self.query, partial_of=PageQuery)
        if self.body:
            arguments["body"] = bodies.json_body(self.body)
        return arguments

    def _admit(self, arguments: dict[str, Any], stack: ExitStack) -> Use | None:
        """Let the caller pass, or raise; how an idempotency key is used, held by the stack."""
        if self.access.kind == "public":
            limits.by_address(self.access)
            return None
        identity = limits.identify(self.access)
        if self.access.kind == "authenticated":
            use = once.use_of(caller.resolve(identity), None)
            _hold(use, stack)
        else:
            use = self._authorize(identity, arguments.get(self.access.of or ""), stack)
        if self.access.fresh:
            require_fresh(caller.principal())
        return use

    def _authorize(self, identity: Identity, target: str | None, stack: ExitStack) -> Use | None:
        of_tenant = permissions.resource_type_of(self.access.permission).in_tenant
        found = caller.resolve(identity, target if of_tenant else None)
        tenant_id = caller.require_tenant(found).tenant_id
        use = once.use_of(found, tenant_id)
        _hold(use, stack)  # before the transaction: on SQLite that would wait for the first
        writes, kept = self._writes, context.kept()
        bind_tenant(tenant_id or "", read_only=not writes)
        if writes:
            kept.reader.close()  # from here on the transaction's own connection will do
        try:
            kept.target = permissions.authorize(plans(), found, self.access.permission, target)
        except NotFound:
            decision = permissions.check(plans(), found, self.access.permission, target)
            if decision.exists or not (use and once.removed(use)):
                raise
        return use

    def _respond(self, result: Any) -> Any:
        if isinstance(result, Response) or self.answers is None:
            return result if result is not None else Nothing(status=self.status)
        status = self.status
        if isinstance(result, tuple):
            result, status = result
        if self._writes:
            db.session.flush()
        schema = shared(self.answers)
        if isinstance(result, Page):
            items = schema.dump(result.items, many=True)
            return {"items": items, "nextCursor": result.next_cursor}, status
        document = schema.dump(result)
        return etags.answer(document, status) if self.tagged else (document, status)

    @cached_property
    def tagged(self) -> bool:
        """Whether its answers carry an entity tag."""
        return self.answers is not None and not self.paged and etags.is_tagged(self.answers)

    def document(self, arguments: dict[str, Any]) -> Any:
        """What it would answer now; the row it shows stays so until the transaction ends."""
        row = self.view(**arguments)
        if inspect(row, raiseerr=False) is not None:
            db.session.refresh(row, with_for_update={"key_share": True})
        elif isinstance(row, Row):
            self._hold_target(arguments.get(self.access.of or ""))
            row = self.view(**arguments)
        return shared(self.answers).dump(row) if self.answers else None

    def _hold_target(self, target: str | None) -> None:
        """Read what the permission is about once more, and let nobody change it meanwhile."""
        kind = permissions.resource_type_of(self.access.permission)
        if kind.model is not None and target is not None:
            db.session.get(kind.model, target, with_for_update={"key_share": True})
        context.kept().target = permissions.authorize(
            session(), caller.principal(), self.access.permission, target
        )

    @property
    def _writes(self) -> bool:
        return self.access.kind == "permission" and context.request().method not in READS


def target() -> Row:
    """The resource the request's permission was checked on, as it is (but what is binary)."""
    found: Row = context.kept().target
    return found


def _require_match(arguments: dict[str, Any]) -> None:
    shown = etags.shown_here()
    document = None
    if isinstance(shown, Endpoint) and shown.tagged and shown.access.kind == "permission":
        document = shown.document(arguments)
    etags.require(document)


def _hold(use: Use | None, stack: ExitStack) -> None:
    if use:
        stack.enter_context(idempotency.running(use))


def endpoint(
    access: Access,
    *,
    body: type[Schema] | None = None,
    query: type[Schema] | None = None,
    answers: type[Schema] | None = None,
    status: int | None = None,
    paged: bool = False,
) -> Callable[[View], View]:
    """Declare a route; goes between ``@blueprint.route`` and the view.

    The view gets ``body`` and ``query`` as loaded dictionaries, ``page`` when ``paged``, and
    returns an object for the ``answers`` schema (or a `Page`, or a tuple with a status). With
    a permission, ``db.session`` is bound to the caller's tenant and committed at the end.
    """

    def decorate(view: View) -> View:
        code = status or (200 if answers else 204)
        made = Endpoint(view, access, body, query, answers, code, paged)
        update_wrapper(made, view)
        return made

    return decorate
