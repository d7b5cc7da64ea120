"""Mail: written with the change that causes it, sent by the delivery engine.

At least once per message, always with the same Message-ID, so that a double can be told.
"""

import re
import smtplib
import ssl
from datetime import datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from sqlalchemy import String
from sqlalchemy.orm import Mapped, Session, mapped_column

from treenail import mail_templates, platform
from treenail.clock import utcnow
from treenail.contributions import Delivery, Event, EventType, Policy, Subscription, Target
from treenail.db import Global, Identified, Model, Sealed, system_session
from treenail.db.sealed import sealed_column
from treenail.deliveries import Abandon, pruning
from treenail.events import emit
from treenail.schemas import Id, Schema
from treenail.settings import CoreSettings

QUEUED = "mail.queued"
TIMEOUT = 20
PATIENCE = Policy(schedule=(5, 60, 600, 3600, *[4 * 3600] * 18))
"""Three days: RFC 5321 (4.5.4.1) asks for more than an hour or two, and a worker that is killed
in the middle of a try costs one of them."""
ONE_ADDRESS = re.compile(r"[^\s\0,;:<>()\"@]+@[^\s\0,;:<>()\"@]+")


class Mail(Identified, Global, Model):
    """A message on its way; its text is sealed (it may carry a token) and gone once sent.

    The text is a MIME body: plain, or plain and HTML.
    """

    __tablename__ = "core_mails"
    recipient: Mapped[str] = mapped_column(String(320))
    subject: Mapped[str] = mapped_column(String(300))
    text_sealed: Mapped[bytes] = sealed_column()
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    sent_at: Mapped[datetime | None]
    text = Sealed("text_sealed")


class MailQueued(Schema):
    """Which message waits."""

    mail_id = Id(required=True)


def event_type() -> EventType:
    """The event behind which a message travels; internal."""
    return EventType(
        QUEUED,
        MailQueued,
        "A message waits to be sent.",
        {"mailId": "01890a5d-ac96-774b-bcce-b302099a8057"},
        internal=True,
    )


def send(session: Session, recipient: str, subject: str, text: str) -> None:
    """Send plain text when, and only when, the caller's transaction commits.

    Raises `ValueError` for a recipient that is not exactly one address.
    """
    body = EmailMessage(SMTP)
    body.set_content(text)
    _queue(session, recipient, subject, body)


def send_template(session: Session, recipient: str, name: str, **values: Any) -> None:
    """Send a template's words, as text and HTML, when the caller's transaction commits.

    Raises what `send` does, and `jinja2.TemplateError` for one that is missing or broken.
    """
    words = mail_templates.render(platform.current().mail_templates, name, values)
    body = EmailMessage(SMTP)
    body.set_content(words.text)
    body.add_alternative(words.html, subtype="html")
    _queue(session, recipient, words.subject, body)


def _queue(session: Session, recipient: str, subject: str, body: EmailMessage) -> None:
    if not ONE_ADDRESS.fullmatch(recipient):
        raise ValueError("a mail goes to exactly one address")
    one_line = " ".join(subject.split())  # a line break would start another header
    mail = Mail(recipient=recipient, subject=one_line[:300])
    mail.text = body.as_bytes()
    session.add(mail)
    emit(session, QUEUED, {"mailId": mail.id})


def link(path: str) -> str:
    """An address for a mail: from ``PUBLIC_URL`` alone, never from a request's Host."""
    base = platform.current().settings.public_url or "http://127.0.0.1:8000"
    return f"{base.rstrip('/')}{path}"


def subscription() -> Subscription:
    """What sends the messages."""
    return Subscription("mail", (QUEUED,), deliver, _target)


def _target(event: Event) -> tuple[Target]:
    return (Target(policy=PATIENCE),)


def deliver(delivery: Delivery) -> None:
    """The subscriber: hand the message to the SMTP server, or write it to a file.

    Raises `Abandon` when the server refuses this message, or its recipient, for good.
    """
    settings = platform.current().settings
    with system_session("mail", read_only=True) as session:
        mail = session.get(Mail, delivery.event.data["mailId"])
        if mail is None or mail.sent_at:
            return
        message = _compose(mail, settings)
    if settings.smtp_url:
        _send(message, settings.smtp_url)
    else:
        _write(message, settings, delivery.event.data["mailId"])
    with system_session("mail") as session:
        sent = session.get_one(Mail, delivery.event.data["mailId"])
        sent.sent_at, sent.text = utcnow(), b""


def prune() -> None:
    """Forget messages of before the settings' number of days: the sent, and the dead letters."""
    done, dead = pruning.horizons()
    pruning.forget(Mail, done, Mail.sent_at.is_not(None))
    pruning.forget(Mail, min(done, dead), Mail.sent_at.is_(None))


def _compose(mail: Mail, settings: CoreSettings) -> EmailMessage:
    host = urlsplit(settings.public_url).hostname or "localhost"
    message: EmailMessage = message_from_bytes(mail.text, policy=SMTP)
    message["From"] = settings.mail_from
    message["To"] = mail.recipient
    message["Subject"] = mail.subject
    message["Date"] = format_datetime(mail.created_at)
    message["Message-ID"] = f"<{mail.id}@{host}>"
    return message


def _send(message: EmailMessage, url: str) -> None:
    """``smtp://user:password@host:port``, with STARTTLS where offered; or ``smtps://``."""
    parts = urlsplit(url)
    host, context = parts.hostname or "localhost", ssl.create_default_context()
    client: smtplib.SMTP
    if parts.scheme == "smtps":
        client = smtplib.SMTP_SSL(host, parts.port or 465, timeout=TIMEOUT, context=context)
    else:
        client = smtplib.SMTP(host, parts.port or 25, timeout=TIMEOUT)
    with client:
        client.ehlo_or_helo_if_needed()
        if parts.scheme == "smtp" and client.has_extn("starttls"):
            client.starttls(context=context)
        if parts.username:
            client.login(unquote(parts.username), unquote(parts.password or ""))
        _hand_over(client, message)


def _hand_over(client: smtplib.SMTP, message: EmailMessage) -> None:
    """RFC 5321, 4.2.1: what is answered with 5yz is not to be repeated as it is."""
    try:
        client.send_message(message)
    except smtplib.SMTPRecipientsRefused as error:
        if all(code >= 500 for code, _ in error.recipients.values()):
            raise Abandon(f"{error}") from error
        raise
    except smtplib.SMTPDataError as error:
        if error.smtp_code >= 500:
            raise Abandon(f"{error}") from error
        raise


def _write(message: EmailMessage, settings: CoreSettings, mail_id: str) -> None:
    folder = settings.data_dir / "mail"
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{mail_id}.part"
    part.write_bytes(message.as_bytes())
    part.rename(folder / f"{mail_id}.eml")
