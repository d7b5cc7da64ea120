"""Second factors: codes of an app, and recovery codes."""

import threading

import pytest
import time_machine
from sqlalchemy import func, select
from treenail.clock import utcnow
from treenail.db import system_session
from treenail_auth.models import Authenticator, RecoveryCode
from treenail_auth.testing import Session


@pytest.fixture
def session(ann):
    return ann.session()


@pytest.fixture
def authenticator(session):
    return session.enrol()


@pytest.fixture
def later(authenticator):
    """Two minutes on, in the middle of a step, where the clock stands still."""
    moment = int(utcnow().timestamp() + 120) // 30 * 30 + 15
    with time_machine.travel(moment, tick=False):
        yield


def verify(ann, code, token=None):
    token = token or ann.log_in().json["mfaToken"]
    return ann.client.post("/auth/mfa/verify", {"mfaToken": token, "code": code})


def test_an_app_is_set_up_by_secret_link_or_picture(session, ann):
    answer = session.call("POST", "/me/totp")
    assert answer.status == 200
    secret = answer.json["secret"]
    assert len(secret) == 32  # 160 bits in base32
    assert f"secret={secret}" in answer.json["otpauthUrl"]
    assert answer.json["otpauthUrl"].startswith("otpauth://totp/Treenail:")
    assert answer.json["qrSvg"].startswith("<svg")


def test_it_is_pending_until_its_first_code(session, ann):
    session.call("POST", "/me/totp")
    assert session.me["totpEnabled"] is False
    assert "accessToken" in ann.log_in().json
    assert session.call("POST", "/me/totp/confirm", {"code": "000000"}).status == 422
    assert session.call("DELETE", "/me/totp").status == 404


def test_another_seed_replaces_a_pending_one(session):
    session.call("POST", "/me/totp")
    session.enrol()
    assert session.call("POST", "/me/totp").code == "totp_enabled"


def test_switching_it_on_and_off_is_told(ann, session, mailbox, captured_events):
    other = ann.session()
    app = session.enrol()
    assert (session.me["totpEnabled"], session.is_alive, other.is_alive) == (True, True, False)
    assert "was added" in mailbox(ann.email)[-1]
    other = Session(ann.client, **verify(ann, app.recovery_codes[0]).json)
    assert session.call("DELETE", "/me/totp").status == 204
    assert (session.is_alive, other.is_alive) == (True, False)
    assert "was removed" in mailbox(ann.email)[-1]
    assert "accessToken" in ann.log_in().json
    assert len(captured_events("user.totp_enabled")) == 1
    assert len(captured_events("user.totp_disabled")) == 1


def test_a_log_in_takes_password_and_code(ann, authenticator, captured_events, after):
    answer = ann.log_in()
    assert answer.status == 200
    assert answer.json == {"mfaRequired": True, "mfaToken": answer.json["mfaToken"]}
    assert captured_events("user.logged_in")[1:] == []  # only the one before it was on
    with after(seconds=30):
        done = verify(ann, authenticator.code(), answer.json["mfaToken"])
    assert done.status == 200
    assert {"accessToken", "refreshToken", "user", "redirectTo"} <= done.json.keys()
    assert captured_events("user.logged_in")[-1].data["amr"] == ["pwd", "otp", "mfa"]


def test_the_token_of_a_log_in_opens_nothing_else(client, ann, authenticator):
    token = ann.log_in().json["mfaToken"]
    assert client.get("/me", headers={"Authorization": f"Bearer {token}"}).status == 401
    assert client.post("/auth/refresh", {"refreshToken": token}).status == 401
    assert client.post("/auth/verify-email", {"token": token}).code == "bad_token"


def test_a_wrong_password_is_not_told_apart(ann, authenticator):
    assert ann.log_in("wrong password").code == "invalid_credentials"


@pytest.mark.parametrize(("steps", "status"), [(-2, 401), (-1, 200), (0, 200), (1, 200), (2, 401)])
def test_a_clock_may_differ_by_a_step(ann, authenticator, later, steps, status):
    assert verify(ann, authenticator.code(steps)).status == status


def test_the_code_that_switched_it_on_is_used_up(ann, session):
    authenticator = session.enrol()
    assert verify(ann, authenticator.code()).code == "invalid_credentials"


def test_an_older_code_than_the_last_used_is_refused(ann, authenticator, later):
    assert verify(ann, authenticator.code(1)).status == 200
    assert verify(ann, authenticator.code()).code == "invalid_credentials"


def at_once(count, run):
    answers = []
    threads = [threading.Thread(target=lambda n=n: answers.append(run(n))) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(answer.status for answer in answers)


def test_of_twenty_with_one_code_one_gets_in(ann, authenticator, later):
    tokens = [ann.log_in().json["mfaToken"] for _ in range(20)]
    code = authenticator.code()
    assert at_once(20, lambda n: verify(ann, code, tokens[n])) == [200] + [401] * 19


def test_of_twenty_with_one_recovery_code_one_gets_in(ann, authenticator):
    tokens = [ann.log_in().json["mfaToken"] for _ in range(20)]
    code = authenticator.recovery_codes[0]
    assert at_once(20, lambda n: verify(ann, code, tokens[n])) == [200] + [401] * 19


def test_of_twenty_with_one_log_in_one_gets_in(ann, authenticator):
    token = ann.log_in().json["mfaToken"]
    codes = authenticator.recovery_codes * 2
    assert at_once(20, lambda n: verify(ann, codes[n], token)) == [200] + [401] * 19


def test_a_recovery_code_works_once_in_any_spelling(ann, authenticator, captured_events):
    first, second, *_ = authenticator.recovery_codes
    assert len(set(authenticator.recovery_codes)) == 10
    assert verify(ann, first.upper().replace("-", " ")).status == 200
    assert verify(ann, first).code == "invalid_credentials"
    assert verify(ann, second).status == 200
    assert len(captured_events("user.recovery_code_used")) == 2


def test_a_log_in_has_five_tries(ann, authenticator):
    token = ann.log_in().json["mfaToken"]
    codes = [verify(ann, "000000", token).code for _ in range(6)]
    assert codes == ["invalid_credentials"] * 5 + ["mfa_token_invalid"]
    assert verify(ann, authenticator.recovery_codes[0], token).code == "mfa_token_invalid"


def test_a_log_in_waits_five_minutes_for_its_code(ann, authenticator, after):
    token = ann.log_in().json["mfaToken"]
    with after(minutes=5, seconds=1):
        assert verify(ann, authenticator.code(), token).code == "mfa_token_invalid"


def test_a_new_password_ends_a_log_in_that_waits(client, ann, authenticator, mailed_token):
    token = ann.log_in().json["mfaToken"]
    client.post("/auth/password/forgot", {"email": ann.email})
    reset = mailed_token(ann.email, "reset-password")
    client.post("/auth/password/reset", {"token": reset, "password": "a new oak beam"})
    assert verify(ann, authenticator.recovery_codes[0], token).code == "mfa_token_invalid"


def test_another_persons_codes_are_no_use(ann, bob, authenticator, later):
    other = bob.session().enrol()
    assert verify(ann, other.recovery_codes[0]).code == "invalid_credentials"
    assert verify(ann, other.code(1)).code == "invalid_credentials"


def test_seed_and_codes_are_not_kept_in_the_clear(app, session, ann):
    secret = session.call("POST", "/me/totp").json["secret"]
    with app.app_context(), system_session("test", read_only=True) as found:
        own = Authenticator.user_id == session.user["id"]
        rows = found.scalars(select(Authenticator).where(own)).all()
        assert [row for row in rows if secret.encode() in row.secret_sealed] == []
        assert secret.encode() in [row.secret for row in rows]
    code = session.enrol().recovery_codes[0].replace("-", "").encode()
    with app.app_context(), system_session("test", read_only=True) as found:
        assert code not in found.scalars(select(RecoveryCode.hash)).all()


def test_switched_off_nothing_of_it_is_left(app, session, authenticator):
    session.call("DELETE", "/me/totp")
    user_id = session.user["id"]
    with app.app_context(), system_session("test", read_only=True) as found:
        for model in (Authenticator, RecoveryCode):
            left = select(func.count()).where(model.user_id == user_id)
            assert found.scalar(left) == 0
