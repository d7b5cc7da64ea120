"""Sessions: one row per log-in, read again on each request, so that ending one acts at once."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Select, String, bindparam, cast, func, select, update
from treenail import epochs
from treenail.clock import utcnow
from treenail.contributions import Leftover
from treenail.db import Plan, SystemReads, SystemSession, system_session
from treenail.errors import Unauthenticated
from treenail.events import emit
from treenail.models import Activation
from treenail.principal import Identity, Principal
from treenail.tenants import principals

from treenail_auth import settings, tokens
from treenail_auth.models import SessionRow

LIFETIME = timedelta(days=30)
"""How long a session lives at most, however often it is renewed."""

GRACE = timedelta(seconds=10)
"""How long the refresh token just used is answered with its successor once more: for the
client that lost the answer, or whose windows asked together."""

PROOF = Plan(
    lambda: select(
        SessionRow.user_id,
        SessionRow.expires_at,
        SessionRow.ended_at,
        SessionRow.auth_time,
        SessionRow.amr,
    ).where(SessionRow.id == bindparam("session_id"))
)
"""What a session proves, and until when."""

LOGGED_OUT, REVOKED, TOKEN_REUSED = "logged_out", "revoked", "token_reused"


@dataclass(frozen=True)
class Device:
    """Where a log-in came from, for the person to recognise it by."""

    ip: str
    user_agent: str


def begin(session: SystemSession, user_id: str, amr: list[str], device: Device) -> SessionRow:
    """Start a session for somebody who has just proven who they are, by these methods."""
    now = utcnow()
    row = SessionRow(
        user_id=user_id,
        created_at=now,
        last_used_at=now,
        expires_at=_expiry(now, now),
        auth_time=now,
        amr=amr,
        ip=device.ip[:64],
        user_agent=device.user_agent.replace("\0", "")[:300],
    )
    session.add(row)
    session.flush()
    return row


def identify(session_id: str) -> Identity | None:
    """Whose live session this is; None for no session, `Unauthenticated` for one that is over."""
    found = SystemReads("authenticate").rows(PROOF, session_id=session_id)
    if not found:
        return None
    row = found[0]
    if row.ended_at is not None or row.expires_at <= utcnow():
        raise Unauthenticated("This session has ended.")
    return Identity(row.user_id, session_id, row.auth_time, tuple(row.amr))


def refresh(token: str) -> tokens.Pair:
    """The next pair of tokens; raises `Unauthenticated`.

    A token that was used before, but for the last one within the grace, is in two hands:
    one of them a thief's, so the session ends (RFC 9700, section 4.14.2).
    """
    session_id, counter = tokens.read_refresh_token(token)
    with system_session("refresh") as session:
        row = _rotate(session, session_id, counter, utcnow())
        pair = tokens.pair(row) if row else None
    if pair is None:
        raise Unauthenticated("This refresh token was used before.", code=TOKEN_REUSED)
    return pair


def end(session: SystemSession, session_id: str, reason: str) -> bool:
    """End a session, its tokens with it; whether it was there to be ended."""
    user_id = session.scalar(
        update(SessionRow)
        .where(SessionRow.id == session_id, SessionRow.ended_at.is_(None))
        .values(ended_at=utcnow(), end_reason=reason)
        .returning(SessionRow.user_id)
    )
    if user_id is None:
        return False
    epochs.touch(session, user_id)
    emit(
        session,
        "session.ended",
        {"userId": user_id, "sessionId": session_id, "reason": reason},
        subject=session_id,
        tenant_id=workplace(session, user_id, session_id).tenant_id,
    )
    return True


def end_own(user_id: str, session_id: str, reason: str) -> bool:
    """End one of a person's live sessions; whether it was one."""
    with system_session("end session") as session:
        ids = session.scalars(own(user_id).with_only_columns(SessionRow.id)).all()
        return session_id in ids and end(session, session_id, reason)


def end_all(session: SystemSession, user_id: str, reason: str, *, but: str | None = None) -> int:
    """End a person's live sessions, but perhaps one; returns how many."""
    ids = session.scalars(own(user_id).with_only_columns(SessionRow.id)).all()
    return sum(end(session, session_id, reason) for session_id in ids if session_id != but)


def own(user_id: str) -> Select[SessionRow]:
    """Select a person's live sessions."""
    return select(SessionRow).where(
        SessionRow.user_id == user_id,
        SessionRow.ended_at.is_(None),
        SessionRow.expires_at > utcnow(),
    )


def workplace(session: SystemSession, user_id: str, session_id: str) -> Principal:
    """The person in the tenant, if any, that the session works in."""
    return principals.resolve(session, Identity(user_id, session_id), None)


def _expiry(created_at: datetime, now: datetime) -> datetime:
    """When a session ends that is not renewed after now."""
    idle = timedelta(days=settings.current().idle_days)
    return min(created_at + LIFETIME, now + idle)


def _rotate(
    session: SystemSession, session_id: str, counter: int, now: datetime
) -> SessionRow | None:
    """The row, moved on by one; None when the token was reused and the session has ended.

    One compare-and-swap decides: of many that present the same token one moves the counter,
    and the others find it moved.
    """
    moved = session.scalar(
        update(SessionRow)
        .where(
            SessionRow.id == session_id,
            SessionRow.counter == counter,
            SessionRow.ended_at.is_(None),
            SessionRow.expires_at > now,
        )
        .values(counter=counter + 1, rotated_at=now, last_used_at=now)
        .returning(SessionRow.id)
    )
    row = session.get(SessionRow, session_id)
    if row is None or not row.is_live(now):
        raise Unauthenticated("This session has ended.")
    if moved:
        row.expires_at = _expiry(row.created_at, now)
    just_used = row.counter == counter + 1 and now - (row.rotated_at or now) <= GRACE
    if moved or just_used:
        return row
    end(session, session_id, TOKEN_REUSED)
    return None


def leftovers() -> Iterator[Leftover]:
    """What the core remembers of these sessions; ids are stored with and without hyphens."""
    own = select(func.replace(cast(SessionRow.id, String), "-", ""))
    remembered = func.replace(Activation.session_id, "-", "").in_(own)
    yield Leftover("where its sessions were at work", Activation, remembered)
