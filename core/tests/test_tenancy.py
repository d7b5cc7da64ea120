"""The tenancy wall: whatever is asked of a tenant's session, no other tenant's row comes out.

The forms are those that leaked somewhere: in plain ``with_loader_criteria``, in other
products, or in an earlier guard of ours. Each is run as one tenant against another's rows.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from sqlalchemy import (
    DDL,
    Column,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    bindparam,
    case,
    column,
    delete,
    exists,
    func,
    insert,
    inspect,
    literal,
    literal_column,
    or_,
    select,
    table,
    text,
    true,
    union,
    union_all,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IntegrityError, InternalError, OperationalError, ProgrammingError
from sqlalchemy.orm import (
    Bundle,
    Mapped,
    Session,
    aliased,
    contains_eager,
    joinedload,
    make_transient,
    mapped_column,
    relationship,
    selectinload,
    subqueryload,
    with_loader_criteria,
)
from treenail.db import (
    Global,
    Identified,
    Model,
    Plan,
    Tenanted,
    bind_tenant,
    db,
    system_session,
    tenant_foreign_key,
    tenant_session,
    uuid_type,
)
from treenail.db.engines import NestedWrite
from treenail.db.guard import TenancyError, own_rows
from treenail.db.upsert import upsert
from treenail.ids import uuid7
from treenail.models import Tenant
from treenail.testing import make_tables


class Beam(Identified, Tenanted, Model):
    __tablename__ = "joinery_beams"
    __table_args__ = (UniqueConstraint("tenant_id", "id"),)
    name: Mapped[str] = mapped_column(String(80))
    pegs: Mapped[list["Peg"]] = relationship(back_populates="beam", cascade="all")


class Peg(Identified, Tenanted, Model):
    __tablename__ = "joinery_pegs"
    __table_args__ = (tenant_foreign_key("beam_id", "joinery_beams"),)
    beam_id: Mapped[str] = mapped_column(uuid_type())
    name: Mapped[str] = mapped_column(String(80))
    beam: Mapped[Beam] = relationship(back_populates="pegs", overlaps="pegs")


class Notice(Identified, Global, Model):
    __tablename__ = "joinery_notices"
    text: Mapped[str] = mapped_column(String(400))


@dataclass
class World:
    """A row of one's own and a row of somebody else's, in parent and child."""

    own: str
    foreign: str
    own_beam: str
    foreign_beam: str
    own_peg: str
    own_spare: str
    foreign_peg: str
    detached: Beam
    detached_peg: Peg


@pytest.fixture(scope="module", autouse=True)
def _tables(app):
    make_tables(app, Beam, Peg, Notice)


@pytest.fixture
def world(app) -> World:
    own, foreign = uuid7(), uuid7()
    with app.app_context(), system_session("test") as session:
        session.add_all([Tenant(id=own, name="Own"), Tenant(id=foreign, name="Foreign")])
        session.flush()
        mine, theirs = _beam(own, "mine"), _beam(foreign, "SECRET")
        spare = Beam(tenant_id=own, name="mine to spare")  # no key of another row holds it
        session.add_all([mine, theirs, spare])
        session.flush()
        session.expunge_all()
    return World(
        own=own,
        foreign=foreign,
        own_beam=mine.id,
        foreign_beam=theirs.id,
        own_peg=mine.pegs[0].id,
        own_spare=spare.id,
        foreign_peg=theirs.pegs[0].id,
        detached=theirs,
        detached_peg=theirs.pegs[0],
    )


def _beam(tenant_id: str, name: str) -> Beam:
    peg = Peg(tenant_id=tenant_id, name=f"{name} peg")
    return Beam(tenant_id=tenant_id, name=f"{name} beam", pegs=[peg])


beams, pegs = Beam.__table__, Peg.__table__
loose = table("joinery_beams", column("id"), column("name"), column("tenant_id"))
reflected = Table("joinery_beams", MetaData(), Column("name", String))
Form = Callable[[Session, World], Any]


def _all(statement: Any) -> Form:
    """The form that runs one statement."""

    def run(session: Session, world: World) -> Any:
        made = statement(world) if callable(statement) else statement
        return session.execute(made).all()

    run.statement = statement
    return run


OWN: dict[str, Form] = {
    "select model": lambda s, w: [b.name for b in s.scalars(select(Beam))],
    "select columns": _all(select(Beam.id, Beam.name)),
    "select bundle": _all(select(Bundle("b", Beam.id, Beam.name))),
    "select mapper": lambda s, w: [b.name for b in s.scalars(select(inspect(Beam)))],
    "query": lambda s, w: [b.name for b in s.query(Beam)],
    "query columns": lambda s, w: s.query(Beam.name).all(),
    "count": _all(select(func.count()).select_from(Beam)),
    "aggregate": _all(select(func.max(Beam.name), func.min(Beam.name))),
    "where by foreign id": _all(
        lambda w: select(Beam.name).where(Beam.id.in_([w.own_beam, w.foreign_beam]))
    ),
    "where on the foreign tenant": _all(
        lambda w: select(Beam.name).where(Beam.tenant_id.in_([w.own, w.foreign]))
    ),
    "aliased": _all(select(aliased(Beam).name)),
    "aliased subquery": lambda s, w: [
        b.name for b in s.scalars(select(aliased(Beam, select(Beam).subquery())))
    ],
    "self join": lambda s, w: s.execute(
        select((other := aliased(Beam)).name, Beam.name).join(Beam, Beam.id == other.id)
    ).all(),
    "join": _all(select(Beam.name, Peg.name).join(Peg, Peg.beam_id == Beam.id)),
    "join a relationship": _all(select(Beam.name, Peg.name).join(Beam.pegs)),
    "outer join": _all(select(Beam.name, Peg.name).outerjoin(Peg, Peg.id != Beam.id)),
    "join from a global": _all(select(Tenant.kind, Beam.name).join(Beam, Beam.id != Tenant.id)),
    "contains eager": lambda s, w: [
        p.name
        for b in s.scalars(select(Beam).join(Beam.pegs).options(contains_eager(Beam.pegs))).unique()
        for p in b.pegs
    ],
    "joined load": lambda s, w: _pegs(s, joinedload),
    "selectin load": lambda s, w: _pegs(s, selectinload),
    "subquery load": lambda s, w: _pegs(s, subqueryload),
    "lazy load": lambda s, w: [p.name for b in s.scalars(select(Beam)) for p in b.pegs],
    "lazy load to one": lambda s, w: [p.beam.name for p in s.scalars(select(Peg))],
    "any": _all(select(Beam.name).where(Beam.pegs.any(Peg.name != ""))),
    "has": _all(select(Peg.name).where(Peg.beam.has(Beam.name != ""))),
    "exists": _all(select(Beam.name).where(exists().where(Peg.beam_id == Beam.id))),
    "in a subquery": _all(select(Beam.name).where(Beam.id.in_(select(Peg.beam_id)))),
    "subquery": lambda s, w: s.execute(select(select(Beam.name).subquery())).all(),
    "scalar subquery": _all(select(Beam.name, select(func.max(Peg.name)).scalar_subquery())),
    "cte": lambda s, w: s.execute(select(select(Beam.name).cte())).all(),
    "recursive cte": lambda s, w: s.execute(select(_recursive())).all(),
    "window": _all(select(Beam.name, func.row_number().over(order_by=Beam.name))),
    "case": _all(select(case((Beam.name != "", Beam.name), else_=""))),
    "distinct": _all(select(Beam.name).distinct()),
    "group by": _all(select(Beam.name, func.count()).group_by(Beam.name)),
    "union": _all(union(select(Beam.name), select(Peg.name))),
    "union in a subquery": lambda s, w: s.execute(
        select(union_all(select(Beam.name), select(Peg.name)).subquery())
    ).all(),
    "from statement": lambda s, w: [
        b.name for b in s.scalars(select(Beam).from_statement(select(Beam)))
    ],
    "for update": _all(select(Beam.name).with_for_update()),
    "yield per": lambda s, w: [
        b.name for b in s.scalars(select(Beam).execution_options(yield_per=1))
    ],
    "populate existing": lambda s, w: [
        b.name for b in s.scalars(select(Beam), execution_options={"populate_existing": True})
    ],
    "literal column beside": _all(select(literal("x"), Beam.name)),
    "a named column of the model": _all(select(column("name")).select_from(Beam)),
    "get": lambda s, w: [s.get(Beam, w.foreign_beam), s.get(Beam, w.own_beam).name],
    "get after a load": lambda s, w: [
        [b.name for b in s.scalars(select(Beam))],
        s.get(Beam, w.foreign_beam),
    ],
    "refresh": lambda s, w: _refreshed(s, s.get(Beam, w.own_beam)),
    "expire and reload": lambda s, w: _reloaded(s, s.get(Beam, w.own_beam)),
    "update by a criterion": lambda s, w: s.execute(
        update(Beam).where(Beam.name != "").values(name="mine, changed")
    ),
    "update returning": lambda s, w: s.execute(
        update(Beam).values(name="mine, changed").returning(Beam.name)
    ).all(),
    "update with evaluate": lambda s, w: s.execute(
        update(Beam).values(name="mine").execution_options(synchronize_session="evaluate")
    ),
    "update where in": lambda s, w: s.execute(
        update(Beam).where(Beam.id.in_(select(Peg.beam_id))).values(name="mine")
    ),
    "update with a parameter": lambda s, w: s.execute(
        update(Beam).where(Beam.id == bindparam("b")), {"b": w.foreign_beam, "name": "mine"}
    ),
    "query update": lambda s, w: s.query(Beam).update({"name": "mine"}),
    "delete by a criterion": lambda s, w: s.execute(delete(Peg).where(Peg.name != "")),
    "delete where in": lambda s, w: s.execute(delete(Peg).where(Peg.beam_id.in_(select(Beam.id)))),
    "nothing but a scalar subquery": _all(select(select(func.max(Beam.name)).scalar_subquery())),
    "union after a literal": _all(union(select(literal("x")), select(Beam.name))),
    "cte beside a literal": lambda s, w: s.execute(
        select(literal("x"), select(Beam.name).cte().c.name)
    ).all(),
    "rows of another model by exists": _all(
        select(Tenant.name, literal("mine")).where(exists().where(Beam.id != Tenant.id)).limit(1)
    ),
    "a criterion of one's own": lambda s, w: [
        b.name
        for b in s.scalars(
            select(Beam).options(with_loader_criteria(Beam, lambda cls: cls.name != ""))
        )
    ],
    "update by a subquery": lambda s, w: s.execute(
        update(Peg).values(name=select(func.max(Beam.name)).scalar_subquery())
    ),
    "update a global by a subquery": lambda s, w: s.execute(
        update(Notice).values(text=select(func.max(Beam.name)).scalar_subquery())
    ),
    "delete a global by a subquery": lambda s, w: s.execute(
        delete(Notice).where(Notice.text.in_(select(Beam.name)))
    ),
    "core": lambda s, w: s.execute(select(s.core(Beam).c.name)).all(),
    "core, all columns": lambda s, w: s.execute(select(s.core(Beam))).all(),
    "core by foreign id": lambda s, w: s.execute(
        select(s.core(Beam).c.name).where(s.core(Beam).c.id.in_([w.foreign_beam, w.own_beam]))
    ).all(),
    "core on the foreign tenant": lambda s, w: s.execute(
        select((b := s.core(Beam)).c.name).where(or_(b.c.tenant_id == w.foreign, true()))
    ).all(),
    "core aliased": lambda s, w: s.execute(select(s.core(Beam).alias().c.name)).all(),
    "core joined": lambda s, w: s.execute(
        select((b := s.core(Beam)).c.name, (p := s.core(Peg)).c.name).join(p, p.c.id != b.c.id)
    ).all(),
    "core beside a model": lambda s, w: s.execute(
        select(Peg.name, (b := s.core(Beam)).c.name).join(b, b.c.id != Peg.id)
    ).all(),
    "core in a union": lambda s, w: s.execute(
        union(select(s.core(Beam).c.name), select(s.core(Peg).c.name))
    ).all(),
    "core in a subquery": lambda s, w: s.execute(
        select(select(func.max(s.core(Beam).c.name).label("n")).subquery().c.n)
    ).all(),
    "core in a model's criterion": lambda s, w: s.execute(
        select(Peg.name).where(Peg.beam_id.in_(select(s.core(Beam).c.id)))
    ).all(),
    "update by core": lambda s, w: s.execute(
        update(Beam).where(Beam.id.in_(select(s.core(Peg).c.beam_id))).values(name="mine")
    ),
    "update from core": lambda s, w: s.execute(
        update(Peg).where(Peg.id != (b := s.core(Beam)).c.id, b.c.name != "").values(name=b.c.name)
    ),
    "core for update": lambda s, w: s.execute(select(s.core(Beam).c.name).with_for_update()).all(),
    "query delete": lambda s, w: s.query(Peg).delete(),
}

REFUSED: dict[str, Form] = {
    "bare table": _all(select(beams)),
    "bare table's select": _all(beams.select()),
    "bare column": _all(select(beams.c.name)),
    "bare column beside the model": _all(select(Tenant.id, beams.c.name)),
    "bare column in a function": _all(select(func.max(beams.c.name))),
    "bare column in where": _all(
        select(literal("SECRET")).where(exists().where(beams.c.name == "SECRET beam"))
    ),
    "bare alias": _all(select(beams.alias().c.name)),
    "bare sample": _all(select(func.count()).select_from(beams.tablesample(100))),
    "bare join": _all(select(func.count()).select_from(beams.join(pegs))),
    "joined bare table": _all(select(Tenant.id).join(beams, beams.c.id != Tenant.id)),
    "counted bare table": _all(select(func.count()).select_from(beams)),
    "bare subquery": _all(select(select(beams.c.name).subquery())),
    "bare cte": _all(select(select(beams.c.name).cte())),
    "bare union": _all(union(select(beams.c.name), select(pegs.c.name))),
    "bare from statement": lambda s, w: [
        b.name for b in s.scalars(select(Beam).from_statement(select(beams)))
    ],
    "bare aliased": lambda s, w: [
        b.name for b in s.scalars(select(aliased(Beam, select(beams).subquery())))
    ],
    "loose table": _all(select(loose.c.name)),
    "loose table's columns": _all(select(column("name")).select_from(loose)),
    "table of other metadata": _all(select(reflected.c.name)),
    "text": _all(text("SELECT name FROM joinery_beams")),
    "text as columns": _all(text("SELECT name FROM joinery_beams").columns(name=String)),
    "text as a column": _all(select(text("name FROM joinery_beams"))),
    "text in from": _all(select(column("name")).select_from(text("joinery_beams"))),
    "text in where": _all(select(Beam.name).where(text("1=1) OR (1=1"))),
    "text from statement": lambda s, w: [
        b.name for b in s.scalars(select(Beam).from_statement(text("SELECT * FROM joinery_beams")))
    ],
    "text in query": lambda s, w: s.query(text("name FROM joinery_beams")).all(),
    "literal column": _all(select(literal_column("(SELECT max(name) FROM joinery_beams)"))),
    "prefix text": _all(
        select(Beam.name).prefix_with(text("(SELECT max(name) FROM joinery_beams),"))
    ),
    "suffix text": _all(
        select(Beam.name).suffix_with(text("UNION ALL SELECT name FROM joinery_beams"))
    ),
    "hint": _all(select(Beam.name).with_statement_hint("UNION ALL SELECT name FROM joinery_beams")),
    "operator as text": _all(
        select(literal("x").op("|| (SELECT max(name) FROM joinery_beams) ||")("y"))
    ),
    "ddl": lambda s, w: s.execute(
        DDL("CREATE TABLE joinery_copies AS SELECT * FROM joinery_beams")
    ),
    "core of another tenant": lambda s, w: s.execute(select(own_rows(Beam, w.foreign).c.name)),
    "core with a bare table beside": lambda s, w: s.execute(
        select(s.core(Beam).c.name, beams.c.name)
    ),
    "core with a bare table joined": lambda s, w: s.execute(
        select(b := s.core(Beam)).join(beams, beams.c.id != b.c.id)
    ),
    "core with a bare subquery": lambda s, w: s.execute(
        select((b := s.core(Beam)).c.name).where(b.c.id.in_(select(beams.c.id)))
    ),
    "core united with a bare table": lambda s, w: s.execute(
        union(select(s.core(Beam).c.name), select(beams.c.name))
    ),
    "core taken apart": lambda s, w: s.execute(s.core(Beam).element.where(text("1=1) OR (1=1"))),
    "core with text": lambda s, w: s.execute(select(s.core(Beam)).where(text("1=1 OR 1=1"))),
    "core of a global": lambda s, w: s.execute(select(s.core(Notice).c.text)),
    "core update from core": lambda s, w: s.execute(
        beams.update().where(beams.c.id.in_(select(s.core(Beam).c.id))).values(name="mine")
    ),
    "insert from core": lambda s, w: s.execute(
        insert(Beam).from_select(["id", "tenant_id", "name"], select(s.core(Beam)))
    ),
    "function that runs text": _all(
        select(func.query_to_xml("SELECT * FROM joinery_beams", True, True, ""))
    ),
    "function that rebinds": _all(
        lambda w: select(func.pg_catalog.SET_CONFIG("app.tenant", w.foreign, True))
    ),
    "function that runs text in from": _all(
        select(func.ts_stat("SELECT to_tsvector(name) FROM joinery_beams").table_valued("word"))
    ),
    "function alone": lambda s, w: s.scalar(func.max(Beam.name)),
    "function over a subquery": lambda s, w: s.scalar(
        func.coalesce(select(func.max(Beam.name)).scalar_subquery(), "")
    ),
    "nothing but exists": _all(
        lambda w: select(literal("SECRET")).where(exists().where(Beam.id == w.foreign_beam))
    ),
    "connection": lambda s, w: s.connection().execute(select(beams)).all(),
    "core insert": lambda s, w: s.execute(
        beams.insert().values(id=uuid7(), tenant_id=w.foreign, name="mine")
    ),
    "core update": lambda s, w: s.execute(beams.update().values(name="mine")),
    "core delete": lambda s, w: s.execute(pegs.delete()),
    "loose update": lambda s, w: s.execute(loose.update().values(name="mine")),
    "loose delete": lambda s, w: s.execute(table("joinery_pegs", column("id")).delete()),
    "insert": lambda s, w: s.execute(
        insert(Beam).values(id=uuid7(), tenant_id=w.foreign, name="mine")
    ),
    "insert many": lambda s, w: s.execute(
        insert(Beam), [{"id": uuid7(), "tenant_id": w.foreign, "name": "mine"}]
    ),
    "insert from select": lambda s, w: s.execute(
        insert(Notice).from_select(["id", "text"], select(Beam.id, Beam.name))
    ),
    "insert from bare select": lambda s, w: s.execute(
        insert(Notice).from_select(["id", "text"], select(beams.c.id, beams.c.name))
    ),
    "upsert": lambda s, w: upsert(
        s, Beam, {"id": w.foreign_beam}, {"tenant_id": w.foreign, "name": "mine"}
    ),
    "update many by key": lambda s, w: s.execute(
        update(Beam), [{"id": w.foreign_beam, "name": "mine"}]
    ),
    "update in bulk": lambda s, w: s.execute(
        update(Beam).execution_options(dml_strategy="bulk"),
        [{"id": w.foreign_beam, "name": "mine"}],
    ),
    "update as core": lambda s, w: s.execute(
        update(Beam).values(name="mine").execution_options(dml_strategy="core_only")
    ),
    "update within a cte": lambda s, w: s.execute(
        select(update(Beam).values(name="mine").returning(Beam.name).cte())
    ),
    "insert a subquery": lambda s, w: s.execute(
        insert(Notice).values(id=uuid7(), text=select(func.max(Beam.name)).scalar_subquery())
    ),
    "delete by another model": lambda s, w: s.execute(
        delete(Peg).where(Peg.id != Beam.id, Beam.id == w.foreign_beam)
    ),
    "update a global from another model": lambda s, w: s.execute(
        update(Notice).where(Notice.id != Beam.id).values(text=Beam.name)
    ),
    "update from an alias": lambda s, w: s.execute(
        update(Peg).where(Peg.id != (other := aliased(Peg)).id).values(name=other.name)
    ),
    "delete as core": lambda s, w: s.execute(
        delete(Peg), execution_options={"dml_strategy": "core_only"}
    ),
    "update to another tenant": lambda s, w: s.execute(
        update(Beam).where(Beam.id == w.own_spare).values(tenant_id=w.foreign)
    ),
    "ordered update to another tenant": lambda s, w: s.execute(
        update(Beam)
        .where(Beam.id == w.own_spare)
        .ordered_values((Beam.tenant_id, w.foreign), (Beam.name, "mine"))
    ),
    "update to another tenant by parameter": lambda s, w: s.execute(
        update(Beam).where(Beam.name == "mine to spare"), {"tenant_id": w.foreign}
    ),
    "update from another model": lambda s, w: s.execute(
        update(Peg).where(Peg.beam_id != Beam.id).values(name=Beam.name)
    ),
    "bulk save": lambda s, w: s.bulk_save_objects([Beam(tenant_id=w.foreign, name="mine")]),
    "bulk insert": lambda s, w: s.bulk_insert_mappings(
        Beam, [{"id": uuid7(), "tenant_id": w.foreign, "name": "mine"}]
    ),
    "bulk update": lambda s, w: s.bulk_update_mappings(
        Beam, [{"id": w.foreign_beam, "name": "mine"}]
    ),
    "add with a foreign tenant": lambda s, w: s.add(Beam(tenant_id=w.foreign, name="mine")),
    "move to another tenant": lambda s, w: setattr(
        s.get(Beam, w.own_spare), "tenant_id", w.foreign
    ),
    "own child of a foreign parent": lambda s, w: s.add(Peg(beam_id=w.foreign_beam, name="mine")),
    "own child moved to a foreign parent": lambda s, w: setattr(
        s.get(Peg, w.own_peg), "beam_id", w.foreign_beam
    ),
    "add a detached one": lambda s, w: s.add(w.detached),
    "refresh a detached one": lambda s, w: (s.add(w.detached), s.refresh(w.detached)),
    "reload a detached one": lambda s, w: (
        s.add(w.detached),
        s.expire(w.detached),
        w.detached.name,
    ),
    "lazy load of a detached one": lambda s, w: (
        s.add(w.detached),
        [p.name for p in w.detached.pegs],
    ),
    "delete a detached one": lambda s, w: s.delete(w.detached_peg),
    "merge a detached one": lambda s, w: s.merge(w.detached),
    "append a detached one": lambda s, w: _appended(s.get(Beam, w.own_beam), w),
    "re-insert a detached one": lambda s, w: (
        make_transient(w.detached_peg),
        s.add(w.detached_peg),
    ),
    "a key taken over": lambda s, w: s.merge(Beam(id=w.foreign_beam, name="mine")),
}

XML = text("SELECT query_to_xml('SELECT * FROM joinery_beams', true, true, '')")

PAST_THE_GUARD: dict[str, Form] = {
    "a select": lambda c, w: c.execute(select(beams)).all(),
    "a select by the foreign id": lambda c, w: c.execute(
        select(beams).where(beams.c.id.in_([w.foreign_beam, w.own_beam]))
    ).all(),
    "text": lambda c, w: c.execute(text("SELECT * FROM joinery_beams")).all(),
    "the driver": lambda c, w: c.exec_driver_sql("TABLE joinery_beams").all(),
    "a function that runs text": lambda c, w: c.execute(XML).all(),
    "a copy": lambda c, w: _copied(c.connection),
    "an update": lambda c, w: c.execute(beams.update().values(name="mine").returning(beams)).all(),
    "a delete": lambda c, w: c.execute(pegs.delete().returning(pegs)).all(),
    "an insert for another": lambda c, w: c.execute(
        beams.insert().values(id=uuid7(), tenant_id=w.foreign, name="mine")
    ),
    "a move to another": lambda c, w: c.execute(
        beams.update().values(tenant_id=w.foreign).returning(beams)
    ).all(),
    "a key taken over": lambda c, w: c.execute(
        postgresql.insert(beams)
        .values(id=w.foreign_beam, tenant_id=w.own, name="mine")
        .on_conflict_do_update(index_elements=["id"], set_={"name": "mine"})
    ),
}
"""Run on a connection, where no guard looks. On SQLite they leak; PostgreSQL's row-level
security (wall 4) stops them, unless the text itself says to be another tenant."""

CONNECTIONS: dict[str, Callable[[Any], Any]] = {
    "of the transaction": lambda s: nullcontext(s.get_transaction().connection(None)),
    "of the bind": lambda s: s.get_bind().begin(),
    "of the engine": lambda s: db.engine.begin(),
}

REFUSALS = (TenancyError, IntegrityError)
"""Refused by the guard, or by the composite keys (wall 3)."""


@pytest.mark.parametrize("name", OWN)
def test_a_form_gives_only_own_rows(app, world: World, name: str):
    before = _digest(app, world.foreign)
    with app.app_context(), tenant_session(world.own) as session:
        given = repr(OWN[name](session, world))
    assert "SECRET" not in given
    assert world.foreign not in given
    if not name.startswith(("update", "delete", "query up", "query del", "count")):
        assert "mine" in given
    assert _digest(app, world.foreign) == before
    assert "SECRET" not in repr(_digest(app, world.own))


@pytest.mark.parametrize("name", REFUSED)
def test_a_form_is_refused(app, world: World, name: str):
    before = [_digest(app, tenant) for tenant in (world.own, world.foreign)]
    with pytest.raises(REFUSALS), app.app_context(), tenant_session(world.own) as session:
        REFUSED[name](session, world)
    assert [_digest(app, tenant) for tenant in (world.own, world.foreign)] == before


STATEMENTS = {
    name: f.statement for name, f in {**OWN, **REFUSED}.items() if hasattr(f, "statement")
}


@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.parametrize("name", STATEMENTS)
def test_a_plan_gives_only_own_rows_or_is_refused(app, world: World, name: str, reads: bool):
    made = STATEMENTS[name]
    plan = Plan(lambda: made(world) if callable(made) else made)
    before = [_digest(app, tenant) for tenant in (world.own, world.foreign)]
    given = ""
    with app.app_context(), tenant_session(world.own, read_only=reads) as session:
        with suppress(*REFUSALS, psycopg.errors.ReadOnlySqlTransaction):
            given = repr([vars(row) for row in session.rows(plan)])
        assert "SECRET" not in given
        assert world.foreign not in given
        assert name in (*REFUSED, "for update") or "union" in name or given
    assert [_digest(app, tenant) for tenant in (world.own, world.foreign)] == before


def test_a_plan_is_each_tenants_own(app, world: World):
    plan = Plan(lambda: select(Beam.name).where(Beam.name != bindparam("not")))
    for tenant, name in ((world.own, "mine"), (world.foreign, "SECR"), (world.own, "mine")):
        with app.app_context(), tenant_session(tenant, read_only=True) as session:
            assert {row.name[:4] for row in session.rows(plan, **{"not": "?"})} == {name}
            told = {"not": "?", "treenail_tenant": world.foreign}
            assert {row.name[:4] for row in session.rows(plan, **told)} == {name}


def test_a_plan_without_one_of_its_values_is_refused(app, world: World):
    plan = Plan(lambda: select(Beam.name).where(Beam.name == bindparam("name")))
    refused = pytest.raises(TypeError, match="the plan needs name")
    with refused, app.app_context(), tenant_session(world.own, read_only=True) as session:
        session.rows(plan)


@pytest.mark.parametrize("foreign", [True, False])
def test_what_is_put_is_the_tenants_own(app, world: World, foreign: bool):
    with app.app_context(), tenant_session(world.own) as session:
        beam = Beam(name="put", tenant_id=world.foreign if foreign else None)
        if foreign:
            with pytest.raises(TenancyError):
                session.put(beam)
        else:
            assert session.put(beam).tenant_id == world.own
            assert session.get_one(Beam, beam.id).name == "put"
    assert "put" not in repr(_digest(app, world.foreign))


def test_a_row_is_put_into_its_own_tenant_alone(app, world: World):
    table = Beam.__table__
    blank = dict.fromkeys(table.columns.keys())
    blank.pop("tenant_id")
    with app.app_context(), tenant_session(world.own) as session:
        mine = {**blank, "id": uuid7(), "name": "put as a row"}
        session.put_row(table, mine)
        assert session.get_one(Beam, mine["id"]).tenant_id == world.own
        foreign = {**blank, "id": uuid7(), "name": "x", "tenant_id": world.foreign}
        with pytest.raises(TenancyError, match="of another tenant"):
            session.put_row(table, foreign)
    with (
        app.app_context(),
        tenant_session(world.own, read_only=True) as session,
        pytest.raises(TenancyError, match="only reads"),
    ):
        session.put_row(table, mine)


def test_a_reading_session_puts_nothing(app, world: World):
    refused = pytest.raises(TenancyError)
    with refused, app.app_context(), tenant_session(world.own, read_only=True) as session:
        session.put(Beam(name="put"))


@pytest.mark.parametrize("taken", CONNECTIONS)
@pytest.mark.parametrize("name", PAST_THE_GUARD)
def test_postgresql_gives_a_connection_only_own_rows(app, world: World, name: str, taken: str):
    if not _is_postgresql(app):
        return  # the three other walls are all there is
    before = _digest(app, world.foreign)
    given = ""
    with (
        app.app_context(),
        suppress(ProgrammingError),  # of a row that is another's
        tenant_session(world.own) as session,
        CONNECTIONS[taken](session) as connection,
    ):
        given = repr(PAST_THE_GUARD[name](connection, world))
    assert "SECRET" not in given
    assert world.foreign not in given
    writes_foreign = name.startswith(("an insert", "a move", "a key"))
    bound = taken == "of the transaction"
    assert ("mine" in given) == (bound and not writes_foreign)
    assert _digest(app, world.foreign) == before


def _copied(driver: Any) -> bytes:
    with driver.cursor().copy("COPY joinery_beams TO STDOUT") as rows:
        return b"".join(map(bytes, rows))


def _is_postgresql(app) -> bool:
    with app.app_context():
        return db.engine.dialect.name == "postgresql"


def _pegs(session: Session, load: Any) -> list[str]:
    found = session.scalars(select(Beam).options(load(Beam.pegs))).unique()
    return [peg.name for beam in found for peg in beam.pegs]


def _recursive() -> Any:
    top = select(Beam.id, Beam.name).cte(recursive=True)
    return top.union(select(Beam.id, Beam.name).join(top, top.c.id != Beam.id))


def _refreshed(session: Session, beam: Beam) -> str:
    session.refresh(beam)
    return beam.name


def _appended(beam: Beam, world: World) -> None:
    beam.pegs.append(world.detached_peg)


def _reloaded(session: Session, beam: Beam) -> str:
    session.expire_all()
    return beam.name


def _digest(app, tenant_id: str) -> list[Any]:
    """Everything the tenant has, and the notices, as plain rows."""
    with app.app_context(), system_session("test", read_only=True) as session:
        rows = [
            session.execute(select(t).where(t.c.tenant_id == tenant_id).order_by(t.c.id)).all()
            for t in (beams, pegs)
        ]
        return [*rows, session.execute(select(Notice.text)).all()]


def test_a_session_needs_a_tenant(app):
    with app.app_context(), pytest.raises(TenancyError, match="no tenant here"):
        db.session.execute(select(Beam))


def test_a_session_is_never_bound_again(app, world: World):
    with app.app_context():
        bind_tenant(world.own)
        with pytest.raises(TenancyError, match="second tenant"):
            bind_tenant(world.foreign)
        assert db.session.scalars(select(Peg.tenant_id)).all() == [world.own]
        with pytest.raises(TenancyError, match="in use"):
            bind_tenant(world.own)


def test_a_request_in_a_context_with_a_session_in_use_refuses(app, tenant, other_tenant):
    with app.app_context():
        assert tenant.owner.get(f"/tenants/{tenant.id}").status == 200
        assert other_tenant.owner.get(f"/tenants/{other_tenant.id}").status == 500
        assert tenant.owner.get(f"/tenants/{tenant.id}").status == 500


WRITES: dict[str, Callable[[Session, World], Any]] = {
    "by object": lambda s, w: s.add(Beam(name="new")),
    "by change": lambda s, w: setattr(s.get(Beam, w.own_beam), "name", "new"),
    "by statement": lambda s, w: s.execute(update(Beam).values(name="new")),
    "on a global": lambda s, w: s.execute(insert(Notice).values(id=uuid7(), text="new")),
}


@pytest.mark.parametrize("how", WRITES)
def test_a_reading_session_cannot_write(app, world: World, how: str):
    with (
        pytest.raises(TenancyError, match="only reads"),
        app.app_context(),
        tenant_session(world.own, read_only=True) as session,
    ):
        WRITES[how](session, world)


def test_the_database_itself_refuses_a_reading_transaction_that_writes(app):
    with app.app_context():
        with (
            pytest.raises((OperationalError, InternalError)),
            system_session("test", read_only=True) as session,
        ):
            session.execute(insert(Notice).values(id=uuid7(), text="new"))
        with system_session("test") as session:
            session.execute(insert(Notice).values(id=uuid7(), text="new"))


def test_sqlite_refuses_a_nested_write_instead_of_waiting_for_itself(build):
    with build().app_context():
        with system_session("outer") as outer:
            outer.execute(select(Tenant.id))
            with pytest.raises(NestedWrite), system_session("inner") as inner:
                inner.execute(select(Tenant.id))
            with system_session("inner", read_only=True) as inner:
                inner.execute(select(Tenant.id))
        with system_session("after") as session:
            session.execute(select(Tenant.id))


def test_two_tenants_in_many_threads_never_see_each_other(app, tenant, other_tenant):
    def ask(number: int) -> bool:
        own = (tenant, other_tenant)[number % 2]
        path = f"/tenants/{own.id}/members"
        members = [m["userId"] for m in own.owner.get(path).json["items"]]
        changed = own.owner.patch(f"{path}/{own.owner.user_id}", {"spaces": ["client"]})
        return members == [own.owner.user_id] == [changed.json["userId"]]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(80)))
