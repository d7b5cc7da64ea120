"""Sealing at rest and signed tokens."""

import base64

import pytest
import time_machine
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import String, select
from sqlalchemy.orm import Mapped, mapped_column
from treenail import crypto
from treenail.crypto import BadToken, KeyRing, SealError, derive, parse_key_ring
from treenail.db import Identified, Model, Sealed, Tenanted, system_session, tenant_session
from treenail.db.sealed import sealed_column
from treenail.testing import make_tables

OLD, NEW = (f"{n}:{base64.b64encode(bytes([n]) * 32).decode()}" for n in (1, 2))
SECRET = "s" * 40


class Chest(Identified, Tenanted, Model):
    __tablename__ = "joinery_chests"
    name: Mapped[str] = mapped_column(String(20))
    inside_sealed: Mapped[bytes] = sealed_column()
    below_sealed: Mapped[bytes] = sealed_column()
    inside = Sealed("inside_sealed")
    below = Sealed("below_sealed")


@pytest.fixture(scope="module", autouse=True)
def _tables(app):
    make_tables(app, Chest)


@pytest.fixture
def chests(app, tenant, other_tenant) -> tuple[str, str]:
    ids = []
    for owner in (tenant, other_tenant):
        with app.app_context(), tenant_session(owner.id) as session:
            chest = Chest(tenant_id=owner.id, name="oak")
            chest.inside, chest.below = b"gold", b""
            session.add(chest)
            ids.append(chest.id)
    return ids[0], ids[1]


def test_what_is_sealed_is_read_back(app, chests):
    with app.app_context(), system_session("test") as session:
        chest = session.get(Chest, chests[0])
        assert (chest.inside, chest.below) == (b"gold", b"")
        assert b"gold" not in chest.inside_sealed


@pytest.mark.parametrize("to", ["row", "tenant", "column"])
def test_a_ciphertext_opens_only_where_it_was_sealed(app, chests, to: str):
    with app.app_context(), system_session("test") as session:
        chest, other = session.get(Chest, chests[0]), session.get(Chest, chests[1])
        if to == "row":
            other = Chest(tenant_id=chest.tenant_id, name="elm")
            other.inside_sealed = chest.inside_sealed
        elif to == "tenant":
            chest.tenant_id, other = other.tenant_id, chest
        else:
            chest.below_sealed, other = chest.inside_sealed, chest
        with pytest.raises(SealError, match="not sealed for this place"):
            _ = other.below if to == "column" else other.inside
        session.rollback()


def test_a_row_needs_its_tenant_before_a_secret(app):
    with app.app_context(), pytest.raises(ValueError, match="tenant and id first"):
        Chest(name="oak").inside = b"gold"


def test_a_sealed_column_is_only_bytes_to_the_database(app, chests):
    with app.app_context(), system_session("test", read_only=True) as session:
        (stored,) = session.scalars(select(Chest.inside_sealed).where(Chest.id == chests[0])).all()
    assert stored[0] == crypto.VERSION


def test_the_first_key_writes_and_all_read():
    old, both, new = (parse_key_ring(text) for text in (OLD, f"{NEW},{OLD}", NEW))
    envelope = old.seal(b"gold", "here")
    assert both.open(envelope, "here") == b"gold"
    assert new.open(both.seal(b"gold", "here"), "here") == b"gold"
    with pytest.raises(SealError, match="not on the ring"):
        new.open(envelope, "here")


@settings(max_examples=80, database=None)
@given(text=st.binary(max_size=40), context=st.text(max_size=20), data=st.data())
def test_a_damaged_envelope_never_opens(text: bytes, context: str, data: st.DataObject):
    ring = parse_key_ring(OLD)
    envelope = bytearray(ring.seal(text, context))
    assert ring.open(bytes(envelope), context) == text
    place = data.draw(st.integers(0, len(envelope) - 1))
    envelope[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(SealError):
        ring.open(bytes(envelope), context)


@settings(max_examples=80, database=None)
@given(envelope=st.binary(max_size=60))
def test_nonsense_is_a_seal_error(envelope: bytes):
    with pytest.raises(SealError):
        parse_key_ring(OLD).open(envelope, "here")


def test_a_cut_envelope_is_a_seal_error():
    ring = parse_key_ring(OLD)
    envelope = ring.seal(b"gold", "here")
    for length in range(len(envelope)):
        with pytest.raises(SealError):
            ring.open(envelope[:length], "here")


def test_equal_texts_are_sealed_differently():
    ring = parse_key_ring(OLD)
    assert len({ring.seal(b"gold", "here") for _ in range(50)}) == 50


@pytest.mark.parametrize(
    ("ring", "message"),
    [
        ("", "there is no key"),
        ("k", "written id:base64"),
        (":AAAA", "written id:base64"),
        ("é:AAAA", "written id:base64"),
        (f"{'k' * 65}:AAAA", "written id:base64"),
        ("k:AAAA", "not 32 bytes"),
        ("k:!", "."),
        (f"{OLD},{OLD}", "two keys 1"),
    ],
)
def test_a_wrong_ring_is_refused(ring: str, message: str):
    with pytest.raises(ValueError, match=message):
        parse_key_ring(ring)


def test_keys_are_in_no_repr():
    assert "keys" not in repr(KeyRing({"k": b"0" * 32}))


def test_a_token_brings_its_payload_back():
    token = crypto.sign(SECRET, "reset", {"user": "ann", "n": 1})
    assert crypto.unsign(SECRET, "reset", token, 60) == {"user": "ann", "n": 1}


def test_a_token_expires():
    with time_machine.travel("2030-01-01T00:00:00Z", tick=False) as clock:
        token = crypto.sign(SECRET, "reset", {})
        clock.shift(60)
        assert crypto.unsign(SECRET, "reset", token, 60) == {}
        clock.shift(1)
        with pytest.raises(BadToken):
            crypto.unsign(SECRET, "reset", token, 60)


def test_a_token_serves_one_purpose_and_one_deployment():
    token = crypto.sign(SECRET, "reset", {})
    for secret, purpose in ((SECRET, "verify"), ("t" * 40, "reset")):
        with pytest.raises(BadToken):
            crypto.unsign(secret, purpose, token, 60)


@settings(max_examples=60, database=None)
@given(data=st.data())
def test_a_tampered_token_is_refused(data: st.DataObject):
    token = crypto.sign(SECRET, "reset", {"user": "ann"})
    place = data.draw(st.integers(0, len(token) - 2))  # the last one has bits to spare
    put = data.draw(st.sampled_from("aB3-_.=é\0").filter(lambda c: c != token[place]))
    with pytest.raises(BadToken):
        crypto.unsign(SECRET, "reset", token[:place] + put + token[place + 1 :], 60)


def test_each_purpose_has_its_own_key():
    assert derive(SECRET, "a") != derive(SECRET, "b")
    assert len(derive(SECRET, "a", 64)) == 64
