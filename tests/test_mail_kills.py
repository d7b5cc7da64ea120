"""Mail reaches a real SMTP server though the worker is killed again and again."""

from __future__ import annotations

import asyncio
import email
import email.policy
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from aiosmtpd.controller import Controller
from flask import Flask
from program import start
from sqlalchemy import func, select, update
from treenail import mail
from treenail.db import system_session
from treenail.deliveries import DeliveryRow
from treenail.deliveries.models import is_open
from treenail.testing.server import free_port

MAILS = 8
REFUSED, UNANSWERED, ACCEPTED = "451 try again", "", "250 OK"


class Receipt(NamedTuple):
    """A whole message that arrived, and what the server said to it."""

    recipient: str
    message_id: str
    answer: str


class PostOffice:
    """An SMTP server in three moods: it refuses for now, keeps silent, or accepts."""

    def __init__(self) -> None:
        self.mood = ACCEPTED
        self.receipts: list[Receipt] = []
        self.arrived = threading.Event()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        mood = self.mood
        parsed = email.message_from_bytes(envelope.content, policy=email.policy.default)
        self.receipts.append(Receipt(envelope.rcpt_tos[0], parsed["Message-ID"], mood))
        self.arrived.set()
        if mood == UNANSWERED:
            await asyncio.sleep(60)
        return mood


@pytest.fixture(scope="module")
def post_office() -> Iterator[tuple[PostOffice, str]]:
    office = PostOffice()
    controller = Controller(office, hostname="127.0.0.1", port=free_port())
    controller.start()
    yield office, f"smtp://127.0.0.1:{controller.port}"
    controller.stop()


@pytest.fixture(scope="module")
def environ(post_office) -> dict[str, str]:
    return {"TREENAIL_PLUGINS": "", "TREENAIL_SMTP_URL": post_office[1]}


@pytest.fixture
def killed(deployment: dict[str, str], post_office) -> Callable[[str], None]:
    """A life of ``treenail worker``, ended by SIGKILL as soon as a message is at the server."""

    def live(mood: str) -> None:
        office = post_office[0]
        office.mood = mood
        office.arrived.clear()
        worker = start(deployment, "worker")
        try:
            assert office.arrived.wait(30), worker.poll()
        finally:
            worker.kill()
            worker.communicate(timeout=20)

    return live


def let_time_pass(app: Flask) -> None:
    """Until every lease has run out and every pause before a retry is over."""
    with app.app_context(), system_session("test") as session:
        long_ago = update(DeliveryRow).where(is_open())
        session.execute(long_ago.values(due_at=DeliveryRow.created_at))


def unfinished(app: Flask) -> int:
    with app.app_context(), system_session("test", read_only=True) as session:
        waiting = select(func.count(DeliveryRow.id)).where(is_open())
        return session.scalar(waiting) or 0


def send(app: Flask, recipients: list[str]) -> None:
    for recipient in recipients:
        with app.app_context(), system_session("test") as session:
            mail.send(session, recipient, "Roof", "It is up.")


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.long)])
@pytest.mark.timeout(600)
def test_each_mail_comes_at_least_once_and_always_under_one_id(
    app, deployment, post_office, killed, kills: int
):
    office, recipients = post_office[0], [f"{n}-of-{kills}@example.com" for n in range(MAILS)]
    office.receipts.clear()
    send(app, recipients[1:])
    for number in range(kills - 1):
        killed((UNANSWERED, REFUSED, UNANSWERED)[number % 3])
        let_time_pass(app)
    send(app, recipients[:1])
    killed(ACCEPTED)
    let_time_pass(app)
    worker, until = start(deployment, "worker"), time.monotonic() + 60
    while unfinished(app) and time.monotonic() < until:
        time.sleep(0.05)
    worker.terminate()
    worker.communicate(timeout=20)
    accepted = [receipt.recipient for receipt in office.receipts if receipt.answer == ACCEPTED]
    ids = {receipt.message_id for receipt in office.receipts}
    print(f"{kills} kills: {MAILS} mails, {len(office.receipts)} receipts,", end=" ")
    print(f"{len(accepted)} of them accepted, {len(ids)} Message-IDs")
    assert set(accepted) == set(recipients)
    assert len(ids) == len({(r.recipient, r.message_id) for r in office.receipts}) == MAILS
