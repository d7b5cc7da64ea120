"""Second factors: time-based codes (RFC 6238) of an app, and recovery codes for a lost one.

A code of the step before or after counts too, for clocks that differ: 90 seconds in all.
Each works once (RFC 6238, section 5.2): one compare-and-swap moves the last step used.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pyotp
import segno
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session
from treenail import mail, platform
from treenail.clock import utcnow
from treenail.crypto import derive
from treenail.db import system_session
from treenail.errors import Conflict, Invalid, NotFound
from treenail.events import emit
from treenail.models import User

from treenail_auth import sessions
from treenail_auth.models import Authenticator, RecoveryCode

STEP = 30
DIGITS = 6
WINDOW = 1
RECOVERY_CODES = 10
ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"  # 32 signs, none to be mistaken for another
GROUPS, GROUP = 6, 4  # 120 bits: from 112 on a plain hash will do (ASVS 5.0, 6.5.2)
ENABLED, DISABLED = "totp_enabled", "totp_disabled"


@dataclass(frozen=True)
class Enrolment:
    """What an app is set up with: the seed, by hand, as a link and as a picture."""

    secret: str = field(repr=False)
    otpauth_url: str = field(repr=False)
    qr_svg: str = field(repr=False)


def enrol(user_id: str) -> Enrolment:
    """A new seed, pending until its first code comes back; raises `Conflict` when it is on."""
    secret = pyotp.random_base32()  # 160 bits
    with system_session("enrol authenticator") as session:
        user = session.get_one(User, user_id)
        if is_on(session, user_id):
            raise Conflict("An authenticator is in use; remove it first.", code="totp_enabled")
        session.execute(delete(Authenticator).where(Authenticator.user_id == user_id))
        made = Authenticator(user_id=user_id)
        made.secret = secret.encode()
        session.add(made)
    issuer = urlsplit(platform.current().settings.public_url).hostname or "Treenail"
    url = pyotp.TOTP(secret).provisioning_uri(name=user.email, issuer_name=issuer)
    return Enrolment(secret, url, segno.make(url).svg_inline(scale=4))


def confirm(user_id: str, session_id: str, code: str) -> list[str]:
    """Switch it on with its first code; ends other sessions; returns the recovery codes.

    Raises `Invalid` for a wrong code, also when there is nothing to confirm.
    """
    with system_session("confirm authenticator") as session:
        pending = session.scalar(
            select(Authenticator)
            .where(Authenticator.user_id == user_id, Authenticator.confirmed_at.is_(None))
            .with_for_update()
        )
        if pending is None or not _use(session, pending, _normal(code)):
            raise Invalid({"code": ["This is not the code that the app shows now."]})
        pending.confirmed_at = utcnow()
        codes = _new_recovery_codes(session, user_id)
        sessions.end_all(session, user_id, ENABLED, but=session_id)
        _tell(session, user_id, ENABLED)
    return codes


def remove(user_id: str, session_id: str) -> None:
    """Switch it off, recovery codes with it, and end other sessions.

    Raises `NotFound` when it isn't on.
    """
    with system_session("remove authenticator") as session:
        if not is_on(session, user_id):
            raise NotFound()
        session.execute(delete(Authenticator).where(Authenticator.user_id == user_id))
        session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
        sessions.end_all(session, user_id, DISABLED, but=session_id)
        _tell(session, user_id, DISABLED)


def is_on(session: Session, user_id: str) -> bool:
    """Whether logging in takes a code."""
    confirmed = Authenticator.confirmed_at.is_not(None)
    found = select(Authenticator.id).where(Authenticator.user_id == user_id, confirmed)
    return session.scalar(found) is not None


def accept(session: Session, user_id: str, code: str) -> bool:
    """Whether it is a code of the person's app or a recovery code; it is used up then."""
    text = _normal(code)
    if len(text) != DIGITS:
        return _use_recovery_code(session, user_id, text)
    found = session.scalar(select(Authenticator).where(Authenticator.user_id == user_id))
    return found is not None and found.confirmed_at is not None and _use(session, found, text)


def _normal(code: str) -> str:
    return "".join(code.replace("-", "").split()).lower()


def _use(session: Session, found: Authenticator, code: str) -> bool:
    app = pyotp.TOTP(found.secret.decode(), digits=DIGITS, interval=STEP)
    now = int(utcnow().timestamp()) // STEP
    for step in range(now - WINDOW, now + WINDOW + 1):
        equal = hmac.compare_digest(app.generate_otp(step).encode(), code.encode())
        if equal and _move(session, found, step):
            return True
    return False


def _move(session: Session, found: Authenticator, step: int) -> bool:
    later = update(Authenticator).where(
        Authenticator.id == found.id, Authenticator.last_step < step
    )
    return session.scalar(later.values(last_step=step).returning(Authenticator.id)) is not None


def _use_recovery_code(session: Session, user_id: str, text: str) -> bool:
    used = delete(RecoveryCode).where(
        RecoveryCode.user_id == user_id, RecoveryCode.hash == _hash(text)
    )
    if session.scalar(used.returning(RecoveryCode.id)) is None:
        return False
    emit(session, "user.recovery_code_used", {"userId": user_id}, subject=user_id)
    return True


def _new_recovery_codes(session: Session, user_id: str) -> list[str]:
    codes = []
    for _ in range(RECOVERY_CODES):
        signs = [secrets.choice(ALPHABET) for _ in range(GROUPS * GROUP)]
        session.add(RecoveryCode(user_id=user_id, hash=_hash("".join(signs))))
        codes.append("-".join("".join(signs[n : n + GROUP]) for n in range(0, len(signs), GROUP)))
    return codes


def _hash(text: str) -> bytes:
    """Keyed with what is not in the database."""
    key = derive(platform.current().settings.secret_key, "treenail.auth.recovery")
    return hmac.digest(key, text.encode(), hashlib.sha256)


def _tell(session: Session, user_id: str, what: str) -> None:
    mail.send_template(session, session.get_one(User, user_id).email, f"auth_{what}")
    emit(session, f"user.{what}", {"userId": user_id}, subject=user_id)
