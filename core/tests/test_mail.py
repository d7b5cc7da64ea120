"""Mail: leaves when, and only when, the change commits; once, and never with another's header."""

import email
import email.policy
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from sqlalchemy import select, update
from treenail import mail
from treenail.db import system_session, tenant_session
from treenail.deliveries import DeliveryRow, drain
from treenail.mail import Mail
from treenail.testing.callers import make_tenant
from treenail.testing.server import free_port


class Mailbox:
    """An SMTP server that keeps what it is given, and fails as often as it is told."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.refusals = 0
        self.answer = "451 try again"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        parsed = email.message_from_bytes(envelope.content, policy=email.policy.default)
        self.messages.append(parsed)
        self.recipients.append(envelope.rcpt_tos)
        if self.refusals:
            self.refusals -= 1
            return self.answer
        return "250 OK"


@pytest.fixture(scope="module")
def mailbox_server():
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=free_port())
    controller.start()
    yield box, f"smtp://127.0.0.1:{controller.port}"
    controller.stop()


@pytest.fixture(scope="module")
def environ(mailbox_server):
    return {
        "TREENAIL_PLUGINS": "",
        "TREENAIL_SMTP_URL": mailbox_server[1],
        "TREENAIL_PUBLIC_URL": "https://app.example.com/base/",
        "TREENAIL_MAIL_FROM": "Treenail <no-reply@example.com>",
    }


@pytest.fixture
def box(mailbox_server, run_tasks) -> Mailbox:
    run_tasks()
    mailbox_server[0].__init__()
    return mailbox_server[0]


@pytest.fixture
def send(app):
    def queue(recipient: str = "ann@example.org", subject: str = "Hello", text: str = "Hi") -> None:
        with app.app_context(), system_session("test") as session:
            mail.send(session, recipient, subject, text)

    return queue


def _due_now(app) -> None:
    with app.app_context(), system_session("test") as session:
        soon = update(DeliveryRow).where(DeliveryRow.status == "pending")
        session.execute(soon.values(due_at=DeliveryRow.created_at))


def test_a_message_is_sent_whole(send, run_tasks, box):
    send(subject="Grüße aus dem Wald 🌳", text="Ein Link:\nhttps://app.example.com/ليل\n")
    run_tasks()
    (message,) = box.messages
    assert box.recipients == [["ann@example.org"]]
    assert (message["To"], message["From"]) == (
        "ann@example.org",
        "Treenail <no-reply@example.com>",
    )
    assert message["Subject"] == "Grüße aus dem Wald 🌳"
    assert message["Message-ID"].endswith("@app.example.com>")
    assert message.get_content().splitlines() == ["Ein Link:", "https://app.example.com/ليل"]


def test_it_is_sent_once_and_its_text_is_gone_after(app, send, run_tasks, box):
    send(text="token 12345")
    run_tasks()
    run_tasks()
    assert len(box.messages) == 1
    with app.app_context(), system_session("test", read_only=True) as session:
        kept = session.scalars(select(Mail).order_by(Mail.id.desc()).limit(1)).one()
        assert kept.sent_at is not None
        assert kept.text == b""


def test_a_retry_carries_the_same_message_id(app, send, run_tasks, box):
    box.refusals = 1
    send()
    run_tasks()
    _due_now(app)
    run_tasks()
    assert len(box.messages) == 2
    assert len({message["Message-ID"] for message in box.messages}) == 1


def test_a_server_that_is_away_for_two_days_gets_it_after(app, send, run_tasks, box):
    box.refusals = 16  # tries in 5 s, 60 s, 10 min, 1 h, then every 4 h
    send()
    for _ in range(17):
        run_tasks()
        _due_now(app)
    assert len(box.messages) == 17
    assert run_tasks() == 0


@pytest.mark.parametrize("answer", ["550 no such mailbox", "451 try again"])
def test_only_what_is_refused_for_good_is_given_up(app, send, run_tasks, box, answer: str):
    box.refusals, box.answer = 1, answer
    send()
    for _ in range(2):
        run_tasks()
        _due_now(app)
    assert len(box.messages) == (1 if answer.startswith("5") else 2)


def test_a_delivery_tried_again_after_it_went_out_sends_nothing(app, send, run_tasks, box):
    send()
    run_tasks()
    with app.app_context(), system_session("test") as session:
        done = update(DeliveryRow).where(DeliveryRow.status == "done")
        session.execute(done.values(status="pending"))
    _due_now(app)
    run_tasks()
    assert len(box.messages) == 1


def test_a_rolled_back_change_sends_nothing(app, run_tasks, box):
    with app.app_context(), system_session("test") as session:
        mail.send(session, "ann@example.org", "Hello", "Hi")
        session.rollback()
    run_tasks()
    assert box.messages == []


def test_a_subject_cannot_start_another_header(send, run_tasks, box):
    send(subject="Hello\r\nBcc: eve@example.com\n\nboo\u2028x")
    run_tasks()
    (message,) = box.messages
    assert message["Bcc"] is None
    assert message["Subject"] == "Hello Bcc: eve@example.com boo x"
    assert box.recipients == [["ann@example.org"]]


@pytest.mark.parametrize(
    "recipient",
    [
        "ann@example.org, eve@example.com",
        "ann@example.org\r\nBcc: eve@example.com",
        "Ann <ann@example.org>",
        "ann@example.org eve@example.com",
        "ann",
        "",
        "ann@example.org\0",
        "eve@example.com:ann@example.org",
    ],
)
def test_a_recipient_is_exactly_one_address(send, run_tasks, box, recipient: str):
    with pytest.raises(ValueError, match="exactly one address"):
        send(recipient)
    run_tasks()
    assert box.messages == []


def test_the_queue_holds_no_text_in_the_clear(app, send, box):
    send(text="token 12345")
    with app.app_context(), system_session("test", read_only=True) as session:
        stored = session.scalars(select(Mail.text_sealed)).all()
    assert not [text for text in stored if b"12345" in text]


def test_a_link_comes_from_the_public_url(app):
    with app.test_request_context(headers={"Host": "evil.example.com"}):
        assert mail.link("/verify?x=1") == "https://app.example.com/base/verify?x=1"


def test_without_a_server_messages_are_files(build, tmp_path):
    app = build()
    with app.app_context(), system_session("test") as session:
        mail.send(session, "ann@example.org", "Grüße", "Hi")
    with app.app_context():
        drain()
    (path,) = (tmp_path / "mail").iterdir()
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    assert (path.suffix, message["Subject"], message.get_content().strip()) == (
        ".eml",
        "Grüße",
        "Hi",
    )


def test_a_person_can_be_written_to_from_a_tenants_session(app, run_tasks, box):
    tenant = make_tenant(app)
    with app.app_context(), tenant_session(tenant.id) as session:
        mail.send(session, tenant.owner.email, "Hello", "Hi")
    run_tasks()
    assert box.recipients == [[tenant.owner.email]]
