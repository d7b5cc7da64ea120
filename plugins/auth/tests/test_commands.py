"""``treenail sessions end``."""

import pytest
from treenail_auth import commands


@pytest.fixture
def end(app):
    return lambda *options: app.test_cli_runner().invoke(commands.group, ["end", *options])


def test_an_operator_ends_a_persons_sessions(ann, bob, end, captured_events):
    first, second, others = ann.session(), ann.session(), bob.session()
    assert end("--email", ann.email.upper()).output == "2 sessions ended\n"
    assert [s.is_alive for s in (first, second, others)] == [False, False, True]
    assert first.refresh().status == 401
    reasons = [e.data["reason"] for e in captured_events("session.ended")]
    assert reasons == ["ended_by_operator"] * 2


def test_an_operator_ends_everybodys_sessions(ann, bob, end):
    sessions = [ann.session(), bob.session()]
    assert end("--everybody").exit_code == 0
    assert not any(session.is_alive for session in sessions)
    assert ann.log_in().status == 200


@pytest.mark.parametrize("options", [(), ("--everybody", "--email", "x@example.com")])
def test_it_must_be_said_whose(ann, end, options):
    session = ann.session()
    assert end(*options).exit_code == 2
    assert session.is_alive


def test_an_unknown_email_is_said(end):
    result = end("--email", "nobody@example.com")
    assert (result.exit_code, result.output) == (1, "Error: Nobody has this e-mail.\n")
