"""The plugin's messages: text and HTML, in words that the integrator may replace."""

from email import message_from_bytes
from email.policy import SMTP
from pathlib import Path

import pytest
from treenail.db import system_session
from treenail.mail_templates import render
from treenail_auth.plugin import Auth

FOLDER = Auth.mail_templates()
NAMES = sorted(path.stem for path in FOLDER.glob("*.txt"))
VALUES = {"link": "https://x.example/?a=1&b=2", "days": 3, "minutes": 30, "email": "<b>@x.example"}


@pytest.fixture(scope="module")
def environ(tmp_path_factory):
    own = tmp_path_factory.mktemp("words")
    (own / "auth_verify_email.txt").write_text("Subject: Grüß Gott\nHier lang: {{ link }}\n")
    (own / "auth_verify_email.html").write_text("<p>Hier <a href='{{ link }}'>lang</a></p>")
    return {
        "TREENAIL_PLUGINS": "auth",
        "TREENAIL_AUTH_BCRYPT_ROUNDS": "4",
        "TREENAIL_MAIL_TEMPLATES": str(own),
    }


def messages(app, address):
    folder = Path(app.extensions["treenail"].settings.data_dir) / "mail"
    found = [message_from_bytes(p.read_bytes(), policy=SMTP) for p in sorted(folder.glob("*.eml"))]
    return [message for message in found if message["To"] == address]


def test_the_integrators_words_come_first(app, ann, run_tasks):
    run_tasks()
    [message] = messages(app, ann.email)
    assert message.get_content_type() == "multipart/alternative"
    assert message["Subject"] == "Grüß Gott"
    text, html = (part.get_content() for part in message.iter_parts())
    assert text.startswith("Hier lang: http://127.0.0.1:8000/verify-email?token=")
    assert html.startswith("<p>Hier <a href='http://127.0.0.1:8000/verify-email?token=")


@pytest.mark.parametrize("name", NAMES)
def test_every_message_is_whole_and_escaped(app, name):
    words = render(app.extensions["treenail"].mail_templates, name, VALUES)
    assert words.subject
    assert "<b>" not in words.html
    assert "a=1&b=2" not in words.html  # escaped
    assert all(len(line) <= 100 for line in words.text.splitlines())


def test_every_message_is_sent_somewhere():
    code = "".join(path.read_text() for path in FOLDER.parents[1].glob("*.py"))
    missing = {name for name in NAMES if f'"{name}"' not in code and name[5:] not in code}
    assert missing == set()


def test_a_token_waits_sealed(app, ann):
    from treenail.mail import Mail

    with app.app_context(), system_session("test", read_only=True) as session:
        waiting = [mail.text_sealed for mail in session.query(Mail)]
    assert not [text for text in waiting if b"token=" in text]
