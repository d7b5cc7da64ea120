"""The journal in the database: what is kept, in which order, and for whose eyes."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import treenail_collab.journal
from flask import Flask
from pycrdt import Doc, Map, Text
from sqlalchemy import Engine, event, func, select, text, update
from treenail.crypto import SealError
from treenail.db import db, engines, rls
from treenail.ids import uuid7
from treenail.testing import TestTenant
from treenail_collab.journal import SNAPSHOTS, UPDATES, DatabaseJournal
from treenail_collab.live.compaction import compact
from treenail_collab.live.interfaces import DocumentKey, Entry
from treenail_collab.live.protocol import clocks
from treenail_collab.live.room import load_doc

MakeJournal = Callable[..., DatabaseJournal]
MakeDocument = Callable[..., DocumentKey]
SECRET = "mortise and tenon"
KILLED_WHILE_COMPACTING = """
import json, os, signal, sys
from types import SimpleNamespace
from sqlalchemy import create_engine, event
from treenail.crypto import parse_key_ring
from treenail.db import engines
from treenail_collab.journal import DatabaseJournal
from treenail_collab.live.interfaces import DocumentKey

url, keys, tenant, document, moment = json.loads(sys.argv[1])
engine = create_engine(url)
engines.prepare(engine, SimpleNamespace(sqlite_synchronous="NORMAL"))

def die(*anything):
    os.kill(os.getpid(), signal.SIGKILL)

def after(connection, cursor, statement, *rest):
    if moment in statement:
        die()

event.listen(engine, "after_cursor_execute", after)
if moment == "COMMIT":
    event.listen(engine, "commit", die)
DatabaseJournal(engine, parse_key_ring(keys)).compact(DocumentKey(tenant, document))
"""


@pytest.fixture
def engine(app: Flask) -> Engine:
    with app.app_context():
        return db.engine


@pytest.fixture
def make_journal(app: Flask, engine: Engine) -> Iterator[MakeJournal]:
    """Journals, each as another process would have its own."""
    made: list[DatabaseJournal] = []

    def make(**options: Any) -> DatabaseJournal:
        made.append(DatabaseJournal(engine, app.extensions["treenail.keyring"], **options))
        return made[-1]

    yield make
    for journal in made:
        journal.close()


@pytest.fixture
def journal(make_journal: MakeJournal) -> DatabaseJournal:
    return make_journal()


@pytest.fixture
def make_document(tenant: TestTenant) -> MakeDocument:
    def make(of: TestTenant = tenant) -> DocumentKey:
        workspace = of.owner.post("/workspaces", {"name": "Joinery"}).json["id"]
        body = {"title": "Roof", "kind": "board"}
        made = of.owner.post(f"/workspaces/{workspace}/documents", body)
        return DocumentKey(of.id, made.json["id"])

    return make


@pytest.fixture
def document(make_document: MakeDocument) -> DocumentKey:
    return make_document()


def typed(*words: str) -> list[bytes]:
    """The updates of one person who types words, one after another."""
    doc, updates = Doc[Any](), list[bytes]()
    with_updates = doc.observe(lambda event: updates.append(bytes(event.update)))
    for word in words:
        doc.get("t", type=Text).insert(len(str(doc.get("t", type=Text))), word)
    doc.unobserve(with_updates)
    return updates


def store(journal: DatabaseJournal, document: DocumentKey, *updates: bytes) -> None:
    for data in updates:
        journal.append([Entry(document, data, ("ann",))])


def said(journal: DatabaseJournal, document: DocumentKey) -> str:
    return str(load_doc(journal.read(document)).get("t", type=Text))


def rows(engine: Engine, document: DocumentKey) -> list[tuple[int, bytes]]:
    found = select(UPDATES.c.seq, UPDATES.c.data_sealed).order_by(UPDATES.c.seq)
    with rls.transaction(engine, rls.SYSTEM) as connection:
        of = UPDATES.c.document_id == document.document_id
        return [(seq, data) for seq, data in connection.execute(found.where(of))]


def seqs(engine: Engine, document: DocumentKey) -> list[int]:
    return [seq for seq, _ in rows(engine, document)]


def snapshots(engine: Engine, document: DocumentKey) -> list[bytes]:
    found = select(SNAPSHOTS.c.data_sealed)
    with rls.transaction(engine, rls.SYSTEM) as connection:
        of = SNAPSHOTS.c.document_id == document.document_id
        return list(connection.scalars(found.where(of)))


# Order


def test_what_is_appended_is_loaded_in_order(journal, document, make_document):
    other = make_document()
    assert journal.load(document) == journal.load(other) == []
    words = typed(*"abcdefghijkl")
    for number, data in enumerate(words):
        journal.append([Entry(other, data, ()), Entry(document, data, ("ann",))])
        assert journal.load(document) == words[: number + 1]
    assert journal.load(other) == words


def test_each_document_has_numbers_of_its_own(journal, engine, make_document):
    documents = [make_document() for _ in range(5)]
    a, b, c = typed(*"abc")
    store(journal, documents[0], a)
    journal.append([Entry(document, data, ()) for data in (b, c) for document in documents])
    assert [seqs(engine, document) for document in documents] == [[1, 2, 3]] + [[1, 2]] * 4


def test_numbers_continue_after_a_reload(make_journal, engine, document):
    a, b, c = typed(*"abc")
    store(make_journal(), document, a, b)
    again = make_journal()
    again.load(document)
    store(again, document, c)
    assert seqs(engine, document) == [1, 2, 3]


def test_numbers_continue_when_all_was_folded_up(make_journal, engine, document):
    journal = make_journal()
    a, b, c, d = typed(*"abcd")
    store(journal, document, a, b)
    journal.compact(document)
    store(journal, document, c)
    assert seqs(engine, document) == [3]
    journal.compact(document)
    assert seqs(engine, document) == []
    again = make_journal()
    again.load(document)
    store(again, document, d)
    assert (seqs(engine, document), again.version(document).seq) == ([4], 4)
    assert said(again, document) == "abcd"


def test_a_number_is_never_given_twice_to_what_waits(make_journal, engine, document):
    journal = make_journal()
    a, b, c = typed(*"abc")
    store(journal, document, a, c, typed("x")[0])
    for _ in range(3):
        journal.compact(document)
        assert (seqs(engine, document), journal.version(document).seq) == ([2], 3)
    again = make_journal()
    again.load(document)
    store(again, document, b)
    again.compact(document)
    assert (seqs(engine, document), again.version(document).seq) == ([], 4)


def test_the_version_is_of_the_last_change_not_of_folding_it(journal, document):
    assert journal.version(document) == (0, None)
    store(journal, document, *typed("a", "b"))
    before = journal.version(document)
    journal.compact(document)
    assert journal.version(document) == before


# Two writers


def test_a_second_writer_collides_and_stores_nothing(make_journal, engine, document, make_document):
    first, second, bystander = make_journal(), make_journal(), make_document()
    a, b, c = typed(*"abc")
    first.load(document)
    second.load(document)
    store(first, document, a)
    with pytest.raises(Exception, match=r"(?i)unique"):
        second.append([Entry(bystander, a, ()), Entry(document, b, ())])
    assert (seqs(engine, document), seqs(engine, bystander)) == ([1], [])
    assert second.load(document) == [a]
    second.append([Entry(bystander, a, ()), Entry(document, b, ())])
    with pytest.raises(Exception, match=r"(?i)unique"):
        store(first, document, c)
    assert said(first, document) == "ab"


def test_a_document_opened_again_before_it_is_released_still_knows_its_number(
    make_journal, engine, document
):
    journal, intruder = make_journal(), make_journal()
    a, b, c = typed(*"abc")
    journal.load(document)
    store(journal, document, a)
    journal.forget(document)
    journal.load(document)
    journal.released(document)
    assert seqs(engine, document) == []
    intruder.load(document)
    store(intruder, document, b)
    with pytest.raises(Exception, match=r"(?i)unique"):
        store(journal, document, c)
    assert seqs(engine, document) == [2]


def test_nothing_is_remembered_of_documents_that_are_not_open(journal, document):
    store(journal, document, *typed("a"))
    journal.read(document)
    journal.load(document)
    journal.forget(document)
    store(journal, document, *typed("b"))
    assert journal._last == journal._rows == {}


# Failures


def test_a_batch_with_a_foreign_document_is_refused_whole(
    journal, engine, make_document, other_tenant
):
    mine, theirs = make_document(), make_document(other_tenant)
    a, b = typed("a", "b")
    for stranger in (
        DocumentKey(mine.tenant_id, theirs.document_id),
        DocumentKey(mine.tenant_id, uuid7()),
    ):
        batch = [Entry(mine, a, ()), Entry(stranger, b, ()), Entry(mine, b, ())]
        with pytest.raises(Exception, match=r"(?i)foreign key") as refused:
            journal.append(batch)
        assert (seqs(engine, mine), seqs(engine, theirs)) == ([], [])
    # What was refused holds no lock, even while its traceback is kept.
    store(journal, mine, a, b)
    assert refused.tb
    assert (seqs(engine, mine), said(journal, mine)) == ([1, 2], "ab")


def test_a_lost_connection_costs_one_append(journal, engine, document):
    a, b = typed("a", "b")
    store(journal, document, a)
    connection = journal._appender._connection.dbapi_connection
    if engine.dialect.name == "sqlite":
        connection.close()
    else:
        with engine.begin() as other:
            pid = connection.info.backend_pid
            assert other.scalar(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
    with pytest.raises(Exception, match=r"(?i)clos|terminat"):
        store(journal, document, b)
    assert seqs(engine, document) == [1]
    store(journal, document, b)
    assert (seqs(engine, document), said(journal, document)) == ([1, 2], "ab")


def test_deleting_a_document_removes_its_history(journal, engine, document, tenant):
    store(journal, document, *typed("a"))
    journal.compact(document)
    store(journal, document, *typed("b"))
    assert tenant.owner.delete(f"/documents/{document.document_id}").status == 204
    assert (rows(engine, document), snapshots(engine, document)) == ([], [])
    with pytest.raises(Exception, match=r"(?i)foreign key"):
        store(journal, document, *typed("c"))


def test_folding_up_a_document_deleted_meanwhile_is_no_error(
    journal, engine, document, tenant, monkeypatch
):
    store(journal, document, *typed("a"))

    def delete_first(*arguments: Any) -> Any:
        tenant.owner.delete(f"/documents/{document.document_id}")
        return compact(*arguments)

    monkeypatch.setattr(treenail_collab.journal, "compact", delete_first)
    journal.compact(document)
    assert snapshots(engine, document) == []


# Sealing


def test_what_is_stored_is_sealed(journal, engine, document):
    plain = typed(SECRET)[0]
    assert SECRET.encode() in plain
    store(journal, document, plain)
    journal.compact(document)
    store(journal, document, plain)
    for data in [rows(engine, document)[0][1], *snapshots(engine, document)]:
        assert not any(SECRET.encode()[at : at + 4] in data for at in range(len(SECRET) - 4))
    assert SECRET in said(journal, document)


def test_bytes_moved_to_another_row_or_document_do_not_open(
    journal, engine, make_document, other_tenant
):
    source, sibling, foreign = make_document(), make_document(), make_document(other_tenant)
    a, b = typed("a", "b")
    for document in (source, sibling, foreign):
        store(journal, document, a, b)
    stolen = rows(engine, source)[0][1]
    for target, seq in ((source, 2), (sibling, 1), (foreign, 1)):
        _put(engine, UPDATES, target, {"data_sealed": stolen}, UPDATES.c.seq == seq)
        with pytest.raises(SealError):
            journal.load(target)
        with pytest.raises(SealError):
            journal.compact(target)
        assert (seqs(engine, target), snapshots(engine, target)) == ([1, 2], [])


def test_a_snapshot_moved_to_another_document_does_not_open(
    journal, engine, make_document, other_tenant
):
    source, sibling, foreign = make_document(), make_document(), make_document(other_tenant)
    for document in (source, sibling, foreign):
        store(journal, document, *typed("a"))
        journal.compact(document)
    for target in (sibling, foreign):
        _put(engine, SNAPSHOTS, target, {"data_sealed": snapshots(engine, source)[0]})
        with pytest.raises(SealError):
            journal.load(target)


def _put(engine: Engine, table: Any, document: DocumentKey, values: Any, *where: Any) -> None:
    of = table.c.document_id == document.document_id
    with rls.transaction(engine, rls.SYSTEM) as connection:
        assert connection.execute(update(table).where(of, *where).values(values)).rowcount == 1


def test_another_tenants_key_with_the_same_id_finds_nothing(
    journal, engine, document, other_tenant
):
    store(journal, document, *typed(SECRET))
    disguised = DocumentKey(other_tenant.id, document.document_id)
    assert journal.load(disguised) == journal.read(disguised) == []
    assert journal.version(disguised).seq == 0
    journal.compact(disguised)
    assert (seqs(engine, document), snapshots(engine, document)) == ([1], [])
    with pytest.raises(Exception, match=r"(?i)foreign key|unique"):
        store(journal, disguised, *typed("b"))
    journal.compact(document)
    assert journal.load(disguised) == []


# Compaction


def test_what_waits_for_something_is_kept(make_journal, engine, document):
    journal = make_journal()
    a, b, c = typed(*"abc")
    store(journal, document, a, c)
    journal.compact(document)
    assert (seqs(engine, document), said(journal, document)) == ([2], "a")
    store(journal, document, b)
    assert said(journal, document) == "abc"
    journal.compact(document)
    assert (seqs(engine, document), said(journal, document)) == ([], "abc")


def test_long_logs_of_open_documents_are_told(make_journal, document, make_document):
    journal, other = make_journal(compact_rows=3), make_document()
    journal.load(document)
    journal.load(other)
    a, b, c, d = typed(*"abcd")
    store(journal, document, a, b)
    assert journal.overgrown() == []
    store(journal, document, d)
    store(journal, other, a)
    assert journal.overgrown() == [document]
    journal.compact(document)
    assert journal.overgrown() == []
    store(journal, document, c)
    assert journal.overgrown() == []
    journal.forget(document)
    assert journal.overgrown() == []


def test_what_only_waits_is_not_looked_at_for_ever(make_journal, document):
    journal = make_journal(compact_rows=2)
    journal.load(document)
    store(journal, document, *typed(*"abc")[1:])
    assert journal.overgrown() == [document]
    journal.compact(document)
    assert journal.overgrown() == []


@pytest.mark.parametrize(
    "moment", ["INSERT INTO collab_snapshots", "DELETE FROM collab_updates", "COMMIT"]
)
def test_a_kill_in_the_middle_of_compaction_changes_nothing(
    journal, engine, document, app, deployment, moment
):
    store(journal, document, *typed(*"abcdef"))
    url = engine.url.render_as_string(hide_password=False)
    keys = app.extensions["treenail"].settings.encryption_keys
    arguments = json.dumps([url, keys, *_parts(document), moment])
    command = [sys.executable, "-c", KILLED_WHILE_COMPACTING, arguments]
    assert subprocess.run(command, timeout=60, check=False).returncode == -9
    assert (seqs(engine, document), snapshots(engine, document)) == ([1, 2, 3, 4, 5, 6], [])
    journal.compact(document)
    assert (seqs(engine, document), said(journal, document)) == ([], "abcdef")


def _parts(document: DocumentKey) -> tuple[str, str]:
    return document.tenant_id, document.document_id


@pytest.mark.parametrize("has_snapshot", [False, True])
def test_a_compaction_that_was_overtaken_gives_way(
    make_journal, engine, document, monkeypatch, has_snapshot
):
    journal, other = make_journal(), make_journal()
    words = iter(typed(*"abcdef"))
    store(journal, document, next(words), next(words))
    if has_snapshot:
        journal.compact(document)
        store(journal, document, next(words))

    def overtaken(*arguments: Any) -> Any:
        monkeypatch.undo()
        folded = compact(*arguments)
        store(other, document, next(words))
        other.compact(document)
        store(other, document, next(words))
        return folded

    before = said(journal, document)
    monkeypatch.setattr(treenail_collab.journal, "compact", overtaken)
    journal.compact(document)
    assert said(journal, document) == "abcdef"[: len(before) + 2]
    assert seqs(engine, document) == [len(before) + 2]


@pytest.mark.parametrize("statement", [1, 2])
def test_a_load_sees_all_while_the_log_is_folded_up(make_journal, engine, document, statement):
    journal, other = make_journal(), make_journal()
    store(journal, document, *typed("a", "b"))
    asked: list[str] = []

    def fold(connection: Any, cursor: Any, sql: str, *rest: Any) -> None:
        if sql.startswith("SELECT") and len(asked) < statement:
            asked.append(sql)
            if len(asked) == statement:
                other.compact(document)

    for each in engines.all_of(engine):
        event.listen(each, "after_cursor_execute", fold)
    try:
        loaded = journal.load(document)
    finally:
        for each in engines.all_of(engine):
            event.remove(each, "after_cursor_execute", fold)
    assert str(load_doc(loaded).get("t", type=Text)) == "ab"
    assert seqs(engine, document) == []


def edits(seed: int, count: int) -> tuple[list[bytes], Doc[Any]]:
    """The updates of three people, slightly out of order, and the document they make."""
    chance = random.Random(seed)
    docs = [Doc[Any]() for _ in range(3)]
    updates: list[tuple[float, bytes]] = []
    while len(updates) < count:
        doc = chance.choice(docs)
        before = doc.get_state()
        text, keys = doc.get("t", type=Text), doc.get("m", type=Map)
        if chance.random() < 0.2:
            doc.apply_update(chance.choice(docs).get_update())
            continue
        if chance.random() < 0.3:
            keys[chance.choice("xyz")] = chance.random()
        elif chance.random() < 0.3 and len(str(text)):
            del text[0:1]
        else:
            text.insert(chance.randint(0, len(str(text))), chance.choice("abc"))
        updates.append((len(updates) + chance.random() * 4, doc.get_update(before)))
    return [data for _, data in sorted(updates)], load_doc([doc.get_update() for doc in docs])


def content(doc: Doc[Any]) -> tuple[str, Any]:
    return str(doc.get("t", type=Text)), doc.get("m", type=Map).to_py()


@pytest.mark.parametrize("seed", range(3))
def test_folding_up_while_others_append_loses_nothing(make_journal, document, seed):
    journal, other = make_journal(compact_rows=5), make_journal()
    updates, truth = edits(seed, 300)
    journal.load(document)
    ended, failures = threading.Event(), list[BaseException]()

    def repeat(work: Callable[[], Any]) -> None:
        try:
            while not ended.is_set():
                work()
        except BaseException as failure:
            failures.append(failure)

    loads: list[tuple[int, list[bytes]]] = []
    jobs = [
        lambda: journal.compact(document),
        lambda: other.compact(document),
        lambda: loads.append((journal._last[document], other.read(document))),
    ]
    threads = [threading.Thread(target=repeat, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    store(journal, document, *updates)
    ended.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert content(load_doc(other.load(document))) == content(truth)
    assert journal.version(document).seq == len(updates)
    for stored, loaded in loads[:: max(1, len(loads) // 20)]:
        expected = load_doc(updates[:stored])
        assert _reaches(load_doc(loaded), expected)


def _reaches(doc: Doc[Any], wanted: Doc[Any]) -> bool:
    """Whether a document has all that another has."""
    both = load_doc([doc.get_update(), wanted.get_update()])
    return clocks(both.get_state()) == clocks(doc.get_state()) and content(both) == content(doc)


def test_the_log_holds_who_wrote(journal, engine, document):
    journal.append([Entry(document, typed("a")[0], ("ann", "bob"))])
    with rls.transaction(engine, rls.SYSTEM) as connection:
        found = select(UPDATES.c.user_ids, func.length(UPDATES.c.data_sealed))
        row = connection.execute(found.where(UPDATES.c.document_id == document.document_id)).one()
    assert row[0] == ["ann", "bob"]
