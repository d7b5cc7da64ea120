"""Checks and lists among 100,000 documents and 200,000 grants, on SQLite and PostgreSQL.

In one process, through the functions that the endpoints call: a check as a request makes it,
its first statement; a list as ``GET /documents`` makes it, with the roles.
"""

import argparse
import gc
import json
import os
import random
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

from compare import at_least, print_targets, say
from flask import Flask
from peers import dataset
from peers.platform import Row, grant, load
from rich.console import Console
from rich.table import Table
from sqlalchemy import create_engine, event, literal, select, text
from targets import Outcome
from treenail import migrate, permissions
from treenail.app import create_app
from treenail.db import bind_tenant, db, plans
from treenail.db.plans import Runs
from treenail.ids import uuid7
from treenail.models import Membership, Tenant, User
from treenail.principal import Principal
from treenail.testing.databases import PostgreSQL, SQLite, services_answer
from treenail.web import PageRequest
from treenail_rbac.models import Grant
from treenail_workspaces import listing, services
from treenail_workspaces.models import Document, Workspace, title_key

PEOPLE, WORKSPACES, DOCUMENTS_EACH, MEMBERS_EACH = 1_000, 1_000, 100, 10
SHARED = 90_000
"""Of the 100,000 documents that many are shared with one more person than their maker."""

CALLERS, WARM_UP = 20, 100
"""People who call again and again, and rounds until all of them have."""

CHECK_P99, LIST_P50 = 1.0, 3.0
"""The targets, in milliseconds by the clock."""

Call = Callable[[Runs], object]
Sample = tuple[float, float]
"""Seconds by the clock, and of this thread's processor."""


@dataclass(frozen=True)
class World:
    """Who and what there is; a document is (its id, its workspace, its maker)."""

    tenant: str
    people: Sequence[str]
    workspaces: Sequence[str]
    documents: Sequence[tuple[str, str, str]]

    @cached_property
    def own(self) -> Sequence[tuple[str, str, str]]:
        """The documents that callers have made."""
        callers = set(self.people[:CALLERS])
        return [one for one in self.documents if one[2] in callers]

    def principal(self, user: str) -> Principal:
        """A plain member: what they see, they see by grants."""
        return Principal(user, "bench", f"{user}@bench.example.org", "Bench", self.tenant, "member")


@dataclass(frozen=True)
class Figures:
    """Milliseconds of one kind of call on one database; ``cpu`` is this process's own median."""

    database: str
    call: str
    samples: int
    p50: float
    p99: float
    cpu: float


def imagine(rng: random.Random) -> World:
    """A tenant; every document has a workspace and a maker."""
    people = [uuid7() for _ in range(PEOPLE)]
    workspaces = [uuid7() for _ in range(WORKSPACES)]
    places = [one for one in workspaces for _ in range(DOCUMENTS_EACH)]
    return World(
        uuid7(),
        people,
        workspaces,
        [(uuid7(), place, rng.choice(people)) for place in places],
    )


def fill(url: str, world: World, rng: random.Random) -> None:
    """Load the world straight into the platform's tables."""
    at, tenant = dataset.START, world.tenant
    engine = create_engine(url)
    if engine.dialect.name == "postgresql":  # as a migration, which row-level security lets see all
        event.listen(engine, "begin", lambda c: c.exec_driver_sql("SET app.migrating = 'on'"))
    load(engine, Tenant.__table__, [{"id": tenant, "name": "Bench", "created_at": at}])
    load(engine, User.__table__, (_user(one) for one in world.people))
    load(engine, Membership.__table__, (_member(tenant, one) for one in world.people))
    load(engine, Workspace.__table__, (_workspace(world, one) for one in world.workspaces))
    load(engine, Document.__table__, _documents(world))
    load(engine, Grant.__table__, _grants(world, rng))
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":  # as its own vacuum does after a while
            connection.execute(text("ANALYZE"))
    engine.dispose()


def _user(one: str) -> Row:
    email = f"{one}@bench.example.org"
    row = {"id": one, "email": email, "email_key": email, "name": "Bench"}
    return {**row, "created_at": dataset.START}


def _member(tenant: str, user: str) -> Row:
    row = {"id": uuid7(), "tenant_id": tenant, "user_id": user, "role": "member"}
    return {**row, "spaces": ["client"], "created_at": dataset.START}


def _workspace(world: World, one: str) -> Row:
    row = {"id": one, "tenant_id": world.tenant, "name": "Bench", "created_by": world.people[0]}
    return {**row, "created_at": dataset.START, "updated_at": dataset.START}


def _documents(world: World) -> Iterator[Row]:
    for number, (one, workspace, maker) in enumerate(world.documents):
        yield {
            "id": one,
            "tenant_id": world.tenant,
            "workspace_id": workspace,
            "title": f"Document {number}",
            "title_key": title_key(f"Document {number}"),
            "kind": "board",
            "mode": "crdt",
            "created_by": maker,
            "created_at": dataset.START,
            "updated_at": dataset.START,
        }


def _grants(world: World, rng: random.Random) -> Iterator[Row]:
    for number, (one, _, maker) in enumerate(world.documents):
        yield grant(world.tenant, maker, one, "owner", maker)
        if number % len(world.documents) < SHARED:
            other = rng.choice(world.people)
            if other == maker:
                other = world.people[world.people.index(maker) - 1]
            yield grant(world.tenant, other, one, rng.choice(["viewer", "editor"]), maker)
    for one in world.workspaces:
        for person in rng.sample(world.people, MEMBERS_EACH):
            made = grant(world.tenant, person, one, "viewer", world.people[0])
            yield {**made, "resource_type": "workspace"}


def check_of(world: World, rng: random.Random) -> Call:
    """A check: by turns of a caller's own document and of any, which is mostly refused."""
    document, _, by = rng.choice(world.own)
    if rng.random() < 0.5:
        document, by = rng.choice(world.documents)[0], rng.choice(world.people[:CALLERS])
    return _check(world, by, document)


def first_check_of(world: World, rng: random.Random) -> Call:
    """A check of anybody, mostly the first of theirs: nothing is kept for them yet."""
    return _check(world, rng.choice(world.people[CALLERS:]), rng.choice(world.documents)[0])


def _check(world: World, user: str, document: str) -> Call:
    by = world.principal(user)
    return lambda session: permissions.check(session, by, "document:read", document)


def list_of(world: World, rng: random.Random) -> Call:
    """The 50 documents changed last of what a person sees, and their role on each."""
    by, query = world.principal(rng.choice(world.people[:CALLERS])), {"sort": "-updatedAt"}

    def call(session: Runs) -> None:
        found = listing.documents(session, by, query, PageRequest(50)).items
        if len(found) != 50:
            raise RuntimeError(f"a person sees {len(found)} documents, not 50 or more")
        services.add_roles(session, by, services.DOCUMENT, found)

    return call


def nothing(world: World, rng: random.Random) -> Call:
    """The least a statement costs here now: what this shows at its 99th percentile is noise."""
    return lambda session: db.session.execute(select(literal(1))).all()


CALLS = {
    "select 1": nothing,
    "first check": first_check_of,
    "check": check_of,
    "list of 50": list_of,
}


def measure(app: Flask, world: World, samples: int, rng: random.Random) -> dict[str, list[Sample]]:
    """Every kind of call by turns, each as a request of its own; before, enough to warm up."""
    found: dict[str, list[Sample]] = {label: [] for label in CALLS}
    for number in range(-WARM_UP, samples):
        for label, make in CALLS.items():
            call = make(world, rng)
            with app.app_context():
                bind_tenant(world.tenant, read_only=True)
                began, used = time.perf_counter(), time.thread_time()
                call(plans())
                took = (time.perf_counter() - began, time.thread_time() - used)
            if number >= 0:
                found[label].append(took)
    return found


def on_database(kind: SQLite | PostgreSQL, folder: Path, samples: int) -> list[Figures]:
    """Fill one database, measure on it."""
    name = "sqlite" if isinstance(kind, SQLite) else "postgresql"
    data = folder / f"data-{name}"
    data.mkdir()
    own = {"TREENAIL_DATA": str(data), "TREENAIL_LOG_LEVEL": "WARNING"}
    say(f"{name}: loading 100,000 documents and 200,000 grants")
    settings = own | kind.copy(data, "bench", lambda more: _migrate({**own, **more}))
    rng = random.Random(20261120)
    world = imagine(rng)
    owner = settings.get("TREENAIL_MIGRATION_DATABASE_URL")
    fill(owner or f"sqlite:///{data}/treenail.db", world, rng)
    app = create_app(settings)
    gc.collect()
    gc.freeze()
    say(f"{name}: {samples} calls of each kind")
    found = measure(app, world, samples, rng)
    with app.app_context():
        db.engine.dispose()
    return [summary(name, label, taken) for label, taken in found.items()]


def summary(database: str, call: str, samples: Sequence[Sample]) -> Figures:
    """The percentiles of a kind of call."""
    cuts = quantiles((took * 1000 for took, _ in samples), n=100)
    cpu = median(used * 1000 for _, used in samples)
    return Figures(database, call, len(samples), cuts[49], cuts[98], cpu)


def _migrate(settings: Mapping[str, str]) -> None:
    app = create_app(settings, check_database=False)
    with app.app_context():
        migrate.upgrade(app.extensions["treenail"].registry)
        db.engine.dispose()


def judge(figures: Sequence[Figures]) -> list[Outcome]:
    """A check's 99th percentile and a list's median, on each database."""
    found = []
    for one in figures:
        name = f"{one.database} {one.call}"
        if one.call == "check":
            found.append(Outcome(f"{name} p99 ms", CHECK_P99, one.p99, at_least=False))
        elif one.call == "list of 50":
            found.append(Outcome(f"{name} p50 ms", LIST_P50, one.p50, at_least=False))
    return found


def print_report(figures: Sequence[Figures], outcomes: Sequence[Outcome]) -> None:
    """The report for people."""
    table = Table("database", "call", title="100,000 documents, 200,000 grants")
    for label in ("samples", "p50 ms", "p99 ms", "cpu ms"):
        table.add_column(label, justify="right")
    for one in figures:
        figures_of = (f"{value:.2f}" for value in (one.p50, one.p99, one.cpu))
        table.add_row(one.database, one.call, f"{one.samples}", *figures_of)
    console = Console()
    console.print(table)
    print_targets(console, outcomes)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print; 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=at_least(2), default=1000, help="calls of each kind")
    parser.add_argument("--only", choices=["sqlite", "postgresql"], help="one database alone")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the tables")
    options = parser.parse_args(arguments)
    figures: list[Figures] = []
    with TemporaryDirectory(prefix="bench-grants-") as directory:
        folder = Path(directory)
        if options.only != "postgresql":
            figures += on_database(SQLite(folder), folder, options.samples)
        if options.only != "sqlite" and (problem := services_answer()):
            say(f"postgresql: SKIPPED, it does not answer: {problem}")
        elif options.only != "sqlite":
            server = PostgreSQL(f"treenail_bench_{os.getpid()}_{secrets.token_hex(3)}")
            try:
                figures += on_database(server, folder, options.samples)
            finally:
                server.close()
    outcomes = judge(figures)
    if options.json:
        print(json.dumps([asdict(one) for one in figures], indent=2))
    else:
        print_report(figures, outcomes)
    return int(not all(one.met for one in outcomes))


if __name__ == "__main__":
    sys.exit(main())
