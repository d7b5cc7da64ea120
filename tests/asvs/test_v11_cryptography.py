"""V11: cryptography."""

from __future__ import annotations

import base64
import re
import secrets

import pytest
from program import ROOT
from sqlalchemy import select, update
from treenail.app import create_app
from treenail.crypto import KeyRing, SealError, parse_key_ring
from treenail.db import db, system_session
from treenail.testing import Client
from treenail_auth.models import Authenticator, Password
from treenail_auth.testing import Session, register

OLD, NEW = (f"k{n}:{base64.b64encode(secrets.token_bytes(32)).decode()}" for n in (1, 2))
ROUNDS = "TREENAIL_AUTH_BCRYPT_ROUNDS"


@pytest.fixture(scope="module")
def environ(environ: dict[str, str]) -> dict[str, str]:
    return {**environ, "TREENAIL_ENCRYPTION_KEYS": OLD}


@pytest.fixture
def deployed_again(deployment):
    """The same deployment with other settings."""
    made = []

    def make(**settings: str) -> Client:
        made.append(create_app({**deployment, **settings}))
        return Client(made[-1])

    yield make
    for app in made:
        with app.app_context():
            db.engine.dispose()


def seeds(app, user_id: str) -> Authenticator:
    with app.app_context(), system_session("test", read_only=True) as session:
        return session.scalar(select(Authenticator).where(Authenticator.user_id == user_id))


def test_v11_2_2_keys_and_costs_can_be_changed_while_data_stays(client, ann, deployed_again):
    session = ann.session()
    app = session.enrol()
    after = deployed_again(**{"TREENAIL_ENCRYPTION_KEYS": f"{NEW},{OLD}", ROUNDS: "5"})
    ann.client = after
    ticket = {"mfaToken": ann.log_in().json["mfaToken"], "code": app.code(1)}
    answer = after.post("/auth/mfa/verify", ticket)
    assert answer.status == 200  # sealed with the old key, hashed at the old cost
    renewed = Session(after, **answer.json)
    assert renewed.call("DELETE", "/me/totp").status == 204
    renewed.enrol()
    envelope = seeds(after.app, session.user["id"]).secret_sealed
    assert envelope[2:4] == b"k2"  # what is new is sealed with the new key


def test_v11_2_2_without_its_key_nothing_opens():
    sealed = parse_key_ring(OLD).seal(b"oak", "here")
    assert parse_key_ring(f"{NEW},{OLD}").open(sealed, "here") == b"oak"
    with pytest.raises(SealError):
        parse_key_ring(NEW).open(sealed, "here")


def test_v11_3_2_what_is_sealed_is_authenticated():
    ring = KeyRing({"k": b"1" * 32})
    sealed = bytearray(ring.seal(b"oak", "here"))
    assert len(sealed) == 3 + 12 + 3 + 16  # head, nonce, text, tag: AES-GCM
    for place in range(3, len(sealed)):
        changed = bytes(byte ^ (n == place) for n, byte in enumerate(sealed))
        with pytest.raises(SealError):
            ring.open(changed, "here")


def test_v11_3_3_a_seed_moved_to_another_person_is_no_use(app, client, ann, bob):
    mine, theirs = ann.session(), bob.session()
    seed = mine.enrol()
    theirs.enrol()
    stolen = seeds(app, mine.user["id"]).secret_sealed
    with app.app_context(), system_session("test") as session:
        his = update(Authenticator).where(Authenticator.user_id == theirs.user["id"])
        session.execute(his.values(secret_sealed=stolen))
    ticket = {"mfaToken": bob.log_in().json["mfaToken"], "code": seed.code(1)}
    assert client.post("/auth/mfa/verify", ticket).status == 500
    with app.app_context(), pytest.raises(SealError):
        _ = seeds(app, theirs.user["id"]).secret


def kept_hash(app, user_id: str) -> str:
    with app.app_context(), system_session("test", read_only=True) as session:
        return session.get_one(Password, user_id).hash


def test_v11_4_2_passwords_are_hashed_slowly_and_anew_when_the_cost_rises(client, deployed_again):
    person = register(client)
    user_id = person.session().user["id"]
    assert kept_hash(client.app, user_id).startswith("$2b$04$")
    person.client = deployed_again(**{ROUNDS: "5"})
    assert person.log_in().status == 200
    assert kept_hash(client.app, user_id).startswith("$2b$05$")


def test_v11_5_1_secrets_come_from_the_systems_generator():
    predictable = re.compile(r"\brandom\.(?!uniform)\w+\(|\buuid[14]\(|from random import")
    sources = [*ROOT.glob("core/treenail/**/*.py"), *ROOT.glob("plugins/*/treenail_*/**/*.py")]
    lines = [line for path in sources for line in path.read_text().splitlines()]
    assert len(sources) > 100
    assert [line for line in lines if predictable.search(line)] == []
    uniform = [line for line in lines if "random.uniform" in line]
    assert len(uniform) == 1  # the jitter of a back-off
