"""Sessions: one bound to a tenant for every request and task, and the system's, with a reason.

Wall 1: which tenant a session belongs to is read when it is made, from what the web face
resolved out of a membership; it is never bound again.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar, cast

from flask import g
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session as FlaskSession
from sqlalchemy import Connection, Engine, Subquery, event
from sqlalchemy.orm import ORMExecuteState, Session, SessionTransaction

from treenail.db import guard, inserts, reads, rls
from treenail.db.base import Model
from treenail.db.engines import reading
from treenail.db.guard import TenancyError
from treenail.db.plans import Plan, Row, Runs
from treenail.db.reads import TenantReads

T = TypeVar("T")


class TenantSession(FlaskSession):
    """A session that sees and writes the rows of one tenant only."""

    def __init__(
        self,
        db: SQLAlchemy,
        tenant_id: str | None = None,
        read_only: bool | None = None,
        **options: Any,
    ) -> None:
        bound, reads = g.get("tenant_binding", (None, False)) if tenant_id is None else ("", False)
        self.tenant_id: str = tenant_id or bound
        self.read_only: bool = reads if read_only is None else read_only
        if not self.tenant_id:
            raise TenancyError("there is no tenant here; bind one, or use system_session")
        # Every session ends with its commit: what it loaded stays readable.
        super().__init__(db, **{**options, "expire_on_commit": False})

    def get_bind(self, *args: Any, **kwargs: Any) -> Engine | Connection:
        """The engine; for a request that only reads, its reading side."""
        bind = super().get_bind(*args, **kwargs)
        return reading(bind) if self.read_only and isinstance(bind, Engine) else bind

    def core(self, model: type[Any]) -> Subquery:
        """The tenant's rows of a model, for selects at the speed of SQLAlchemy's Core::

            beams = session.core(Beam)
            session.execute(select(beams.c.name).where(beams.c.length > 3))

        Of rows, not objects; what is written is written through models. Raises `TenancyError`
        for a model that no tenant owns: that one's table can be selected as it is.
        """
        rows: Any = guard.own_rows  # whose cache mypy thinks no class could be a key of
        return cast(Subquery, rows(model, self.tenant_id))

    def connection(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused, like every other way around the statements and objects that are scoped."""
        raise TenancyError("a connection knows no tenant")

    bulk_save_objects = bulk_insert_mappings = bulk_update_mappings = connection

    def rows(self, plan: Plan, **values: Any) -> list[Row]:
        """What a plan finds of the tenant's; sees what this session has written."""
        if self.read_only:
            return TenantReads(self.tenant_id).rows(plan, **values)
        values[guard.TENANT] = self.tenant_id
        self._autoflush()
        return reads.run_on(super().connection(), plan, guard.scoped, values)

    def put(self, made: T) -> T:
        """Insert a new object now, past the unit of work, which then doesn't know it.

        For rows that are written all the time; what was added before is flushed first.
        """
        if self.read_only:
            raise TenancyError("a request that only reads can't write")
        guard.assert_owned([made], self.tenant_id)
        self._autoflush()
        inserts.put(super().connection(), made)
        return made

    def put_all(self, made: Sequence[Any], *, once: bool = False) -> None:
        """Insert new objects of one model now, as `put` does; ``once`` leaves out what is there."""
        if self.read_only:
            raise TenancyError("a request that only reads can't write")
        guard.assert_owned(made, self.tenant_id)
        self._autoflush()
        inserts.put_all(super().connection(), made, once=once)


class SystemSession(Session):
    """A session across tenants; its transactions say that they are the system's."""

    def rows(self, plan: Plan, **values: Any) -> list[Row]:
        """What a plan finds; sees what this session has written."""
        self._autoflush()
        return reads.run_on(self.connection(), plan, reads.unscoped, values)

    def put(self, made: T) -> T:
        """Insert a new object now, past the unit of work, which then doesn't know it."""
        self._autoflush()
        inserts.put(self.connection(), made)
        return made

    def put_all(self, made: Sequence[Any]) -> None:
        """Insert new objects of one model now, as `put` does."""
        self._autoflush()
        inserts.put_all(self.connection(), made)

    def change(self, plan: Plan, **values: Any) -> int:
        """Run a planned update or delete; returns how many rows it met."""
        self._autoflush()
        return reads.change_on(self.connection(), plan, values)


db = SQLAlchemy(model_class=Model, session_options={"class_": TenantSession})


@event.listens_for(TenantSession, "do_orm_execute")
def _scope(state: ORMExecuteState) -> None:
    session: Any = state.session
    if session.read_only and (state.is_insert or state.is_update or state.is_delete):
        raise TenancyError("a request that only reads can't write")
    guard.scope(state, session.tenant_id)


@event.listens_for(TenantSession, "after_begin")
def _bind(session: TenantSession, transaction: SessionTransaction, connection: Connection) -> None:
    if not transaction.nested:
        rls.bind(connection, session.tenant_id)


@event.listens_for(SystemSession, "after_begin")
def _bind_system(
    session: SystemSession, transaction: SessionTransaction, connection: Connection
) -> None:
    if not transaction.nested:
        rls.bind(connection, rls.SYSTEM, session.info["settings"])


@event.listens_for(TenantSession, "before_attach")
def _refuse_foreign(session: TenantSession, instance: object) -> None:
    guard.refuse_foreign(instance, session.tenant_id)


@event.listens_for(TenantSession, "before_flush")
def _assert_owned(session: TenantSession, context: Any, instances: Any) -> None:
    if session.read_only and (session.new or session.dirty or session.deleted):
        raise TenancyError("a request that only reads can't write")
    guard.assert_owned([*session.new, *session.dirty, *session.deleted], session.tenant_id)


def bind_tenant(tenant_id: str, *, read_only: bool = False) -> None:
    """Say, once per app context, whose rows ``db.session`` is for."""
    if "tenant_binding" in g and g.tenant_binding[0] != tenant_id:
        raise TenancyError("a session is never bound to a second tenant")
    if db.session.registry.has():
        raise TenancyError("a session is in use in this context already")
    g.tenant_binding = (tenant_id, read_only)


def session() -> TenantSession:
    """The request's session, bound to the caller's tenant; the face commits it at the end."""
    return cast(TenantSession, db.session())


def plans() -> Runs:
    """Who runs plans for the request: where it only reads, no session is made for them."""
    tenant_id, read_only = g.tenant_binding
    return TenantReads(tenant_id) if read_only else session()


@contextmanager
def tenant_session(tenant_id: str, *, read_only: bool = False) -> Iterator[TenantSession]:
    """A transaction of its own for one tenant: committed at the end, rolled back on an error."""
    with TenantSession(db, tenant_id=tenant_id, read_only=read_only) as session, session.begin():
        yield session


@contextmanager
def system_session(
    reason: str, *, read_only: bool = False, settings: Sequence[str] = ()
) -> Iterator[SystemSession]:
    """A transaction across tenants, for what has a reason to: relays, log-in, sweeps.

    Committed at the end, rolled back on an error. The ``settings`` are PostgreSQL's, for
    this transaction: ``synchronous_commit = off``; on SQLite they mean nothing.
    """
    info = {"reason": reason, "settings": settings}
    engine = reading(db.engine) if read_only else db.engine
    with (
        SystemSession(engine, info=info, expire_on_commit=False) as session,
        session.begin(),
    ):
        yield session
