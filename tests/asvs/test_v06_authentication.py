"""V6: authentication."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable

import bcrypt
import pytest
from program import ROOT
from sqlalchemy import func, select
from treenail import migrate
from treenail.app import create_app
from treenail.db import db, system_session
from treenail.models import User
from treenail_auth import strength, throttle
from treenail_auth.models import RecoveryCode, Ticket
from treenail_auth.testing import Session, register
from zxcvbn.matching import RANKED_DICTIONARIES

NEW = "a new oak beam"
COMMON = [word for word in RANKED_DICTIONARIES["passwords"] if len(word) >= strength.SHORTEST]


def sign_up(client, password: str):
    body = {"email": "x@example.com", "password": password, "name": "Ann Oak"}
    return client.post("/auth/register", body)


def test_v6_1_1_the_page_on_security_says_how_guessing_is_slowed():
    page = " ".join((ROOT / "docs" / "security.md").read_text().split())
    minutes = int(throttle.LONGEST_WAIT.total_seconds() // 60)
    assert f"{throttle.FREE_OF_ACCOUNT} failures" in page
    assert f"{throttle.FREE_OF_ADDRESS} tries" in page
    assert f"{minutes} minutes" in page
    assert "TREENAIL_RATE_LIMITS" in page


def test_v6_2_1_a_password_has_at_least_eight_characters(client):
    assert sign_up(client, "oak&elm").status == 422
    assert sign_up(client, "oak & el").status == 201


def test_v6_2_3_a_change_takes_the_current_password(ann):
    session = ann.session()
    assert session.patch(password=NEW).status == 422
    assert session.patch(password=NEW, currentPassword="wrong").status == 422
    assert session.patch(password=NEW, currentPassword=ann.password).status == 200


@pytest.mark.parametrize("place", ["register", "change", "reset"])
def test_v6_2_4_common_passwords_are_refused_everywhere(client, ann, mailed_token, place):
    def give(password: str):
        if place == "register":
            return sign_up(client, password)
        if place == "change":
            return ann.session().patch(password=password, currentPassword=ann.password)
        client.post("/auth/password/forgot", {"email": ann.email})
        token = mailed_token(ann.email, "reset-password")
        return client.post("/auth/password/reset", {"token": token, "password": password})

    for password in COMMON[:3]:
        assert (give(password).status, list(give(password).json["errors"])) == (422, ["password"])


@pytest.mark.parametrize(
    "password", ["oakbeamslie", "OAKBEAMSLIE", "дубовая балка", "🪵🌳🪓🔨🪚🏠🌲🍂"]
)
def test_v6_2_5_any_characters_will_do(client, password):
    assert register(client, password).log_in().status == 200


@pytest.mark.parametrize(
    ("password", "others"),
    [
        ("oak beam " * 8 + "x", ["oak beam " * 8 + "y", "oak beam " * 8]),  # the 73rd character
        ("Oak beams lie", ["oak beams lie", "Oak beams lie ", " Oak beams lie"]),
        ("bälken über", ["ba\u0308lken u\u0308ber", "balken uber"]),
        ("oak 🪵 beams", ["oak 🪵 beam", "oak beams"]),
    ],
)
def test_v6_2_8_the_whole_password_counts(client, password, others):
    person = register(client, password)
    assert person.log_in().status == 200
    assert [person.log_in(other).status for other in others] == [401] * len(others)


@pytest.mark.parametrize("length", [64, 128, 256])
def test_v6_2_9_long_passwords_are_welcome(client, length):
    password = ("oak beams lie under the roof; " * 9)[:length]
    assert register(client, password).log_in().status == 200


@pytest.mark.parametrize("step", [100, pytest.param(1, marks=pytest.mark.long)])
def test_v6_2_12_passwords_of_known_breaches_are_refused(step):
    assert len(COMMON) > 10_000
    assert [word for word in COMMON[::step] if strength.weakness(word) is None] == []


def test_v6_3_2_a_fresh_deployment_knows_nobody(tmp_path):
    app = create_app({"TREENAIL_DATA": str(tmp_path)}, check_database=False)
    with app.app_context():
        migrate.upgrade(app.extensions["treenail"].registry)
        with system_session("test", read_only=True) as session:
            assert session.scalar(select(func.count(User.id))) == 0
        db.engine.dispose()


def test_v6_3_3_a_second_factor_once_on_is_asked_for(client, ann, mailed_token):
    ann.session().enrol()
    assert ann.log_in().json.keys() == {"mfaRequired", "mfaToken"}


def test_v6_3_4_tokens_come_out_of_known_doors_alone(app, operations):
    doors = {op.path.removeprefix("/api/v1") for op in operations if "LoggedIn" in str(op.about)}
    pairs = {op.path.removeprefix("/api/v1") for op in operations if "TokenPair" in str(op.about)}
    assert doors == {"/auth/login", "/auth/mfa/verify"}
    assert pairs == {"/auth/refresh"}


@pytest.fixture
def work(app, monkeypatch, count_queries) -> Callable[..., tuple[int, int]]:
    """How many hashes something takes, and how many statements."""
    hashes = []
    for name in ("hashpw", "checkpw"):
        slow = getattr(bcrypt, name)
        spy = lambda *given, slow=slow: hashes.append(1) or slow(*given)  # noqa: E731
        monkeypatch.setattr(bcrypt, name, spy)

    def measure(act: Callable[[], object]) -> tuple[int, int]:
        hashes.clear()
        with count_queries() as statements:
            act()
        return len(hashes), len(statements)

    return measure


def test_v6_3_8_known_and_unknown_cost_the_same(client, ann, work):
    def costs(path: str, **body: str) -> list[tuple[int, int]]:
        known = {"email": ann.email, **body}
        return [
            work(lambda: client.post(path, known)),
            work(lambda: client.post(path, known | {"email": "nobody@example.com"})),
        ]

    [known, unknown] = costs("/auth/login", password="wrong password")
    assert (known, known[0]) == (unknown, 1)
    [known, unknown] = costs("/auth/password/forgot")
    assert (known, known[0]) == (unknown, 0)
    assert [hashes for hashes, _ in costs("/auth/register", password=NEW, name="Eve")] == [1, 1]


def test_v6_3_8_known_and_unknown_hear_the_same(client, ann):
    def heard(path: str, email: str, **body: str):
        answer = client.post(path, {"email": email, **body})
        text = answer.response.text.replace(email, "")
        request = answer.headers["X-Request-Id"]
        headers = {
            k: v for k, v in answer.headers.items() if k not in ("X-Request-Id", "Content-Length")
        }
        return answer.status, text.replace(request, ""), headers

    other = f"x{ann.email[1:]}"
    for path, body in (
        ("/auth/login", {"password": "wrong password"}),
        ("/auth/password/forgot", {}),
        ("/auth/register", {"password": NEW, "name": "Eve"}),
    ):
        assert heard(path, ann.email, **body) == heard(path, other, **body)


def test_v6_4_1_an_invitation_is_long_hashed_short_lived_and_for_once(
    app, tenant, bob, mailed_token, after
):
    path = f"/tenants/{tenant.id}/invitations"
    tenant.owner.post(path, {"email": bob.email, "role": "member"})
    token = mailed_token(bob.email, "invitations/accept")
    assert len(token) == 43  # 256 bits
    session = bob.session()
    with after(days=7, seconds=1):
        late = bob.session().call("POST", "/invitations/accept", {"token": token})
        assert late.code == "invitation_invalid"
    assert session.call("POST", "/invitations/accept", {"token": token}).status == 200
    assert session.call("POST", "/invitations/accept", {"token": token}).status == 404


def test_v6_4_3_a_reset_leaves_the_second_factor_on(client, ann, mailed_token):
    ann.session().enrol()
    client.post("/auth/password/forgot", {"email": ann.email})
    token = mailed_token(ann.email, "reset-password")
    body = {"token": token, "password": NEW}
    assert client.post("/auth/password/reset", body).status == 204
    assert client.post("/auth/password/reset", body).status == 422
    assert ann.log_in(NEW).json["mfaRequired"] is True


def statuses_of_many(call: Callable[[], int], count: int = 20) -> list[int]:
    """What comes of as many calls at once."""
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(call())) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return sorted(found)


def verify(ann, code: str, ticket: str | None = None):
    ticket = ticket or ann.log_in().json["mfaToken"]
    return ann.client.post("/auth/mfa/verify", {"mfaToken": ticket, "code": code})


@pytest.mark.parametrize("kind", ["code of the app", "recovery code"])
def test_v6_5_1_of_twenty_with_one_code_one_gets_in(ann, kind):
    app = ann.session().enrol()
    code = app.code(1) if kind == "code of the app" else app.recovery_codes[0]
    assert statuses_of_many(lambda: verify(ann, code).status) == [200] + [401] * 19


def test_v6_5_2_recovery_codes_have_120_bits_and_are_kept_hashed(app, ann):
    code = ann.session().enrol().recovery_codes[0].replace("-", "")
    assert len(code) * 5 >= 112  # 32 signs
    with app.app_context(), system_session("test", read_only=True) as session:
        kept = session.scalars(select(RecoveryCode.hash)).all()
    assert not [hashed for hashed in kept if code.encode() in hashed]


def test_v6_5_5_codes_live_for_a_step_and_its_neighbours(ann, after):
    seed = ann.session().enrol()
    ticket = ann.log_in().json["mfaToken"]
    assert verify(ann, seed.code(3), ticket).status == 401
    old = seed.code(1)
    with after(seconds=95):
        assert verify(ann, old).status == 401
    with after(minutes=5, seconds=1):
        assert verify(ann, seed.code(), ticket).code == "mfa_token_invalid"


def test_v6_6_2_a_code_is_for_the_log_in_that_asked(client, ann, bob):
    seed = ann.session().enrol()
    bob.session().enrol()
    tickets = ann.log_in().json["mfaToken"], bob.log_in().json["mfaToken"]
    assert verify(bob, seed.code(1), tickets[1]).status == 401
    answer = verify(ann, seed.code(1), tickets[0])
    assert Session(client, **answer.json).is_alive
    assert verify(ann, seed.recovery_codes[0], tickets[0]).code == "mfa_token_invalid"


def test_v6_6_3_a_log_in_has_five_tries_at_its_code(ann):
    seed = ann.session().enrol()
    ticket = ann.log_in().json["mfaToken"]
    wrong = next(
        f"{n:06}" for n in range(10) if f"{n:06}" not in {seed.code(s) for s in (-1, 0, 1)}
    )
    assert [verify(ann, wrong, ticket).status for _ in range(5)] == [401] * 5
    assert verify(ann, seed.code(1), ticket).code == "mfa_token_invalid"


def test_v6_4_1_mailed_tokens_are_kept_hashed(app, client, ann, mailed_token):
    token = mailed_token(ann.email, "verify-email")
    with app.app_context(), system_session("test", read_only=True) as session:
        assert token.encode() not in b"".join(session.scalars(select(Ticket.hash)))
    assert client.post("/auth/verify-email", {"token": token}).status == 204
    assert client.post("/auth/verify-email", {"token": token}).status == 422


@pytest.mark.long
@pytest.mark.parametrize("door", ["login", "register", "forgot"])
def test_v6_3_8_known_and_unknown_take_as_long(tmp_path, door):
    script = ROOT / "bench" / "auth" / "doors.py"
    report = tmp_path / "results.json"
    command = [sys.executable, str(script), "--pairs", "50", "--only", door, "--out", str(report)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(report.read_text())["doors"][door]["ok"]
