"""V1: encoding and sanitization."""

from __future__ import annotations

import re
import socket
from email import message_from_bytes
from email.policy import SMTP
from pathlib import Path

import pytest
from program import ROOT
from treenail.db import tenant_session
from treenail.ids import uuid7
from treenail_webhooks.models import Endpoint

HOSTILE = [
    "'; DROP TABLE core_users; --",
    "' OR '1'='1",
    '") UNION SELECT hash FROM auth_passwords --',
    "%' ESCAPE '",
    "\\'; SELECT pg_sleep(9); --",
    "{{7*7}} ${7*7} %(x)s",
]
BOMBS = [
    '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/x.dtd"><a/>',
    '<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;&b;&b;">]><a>&c;&c;&c;</a>',
]
SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(1)>"


@pytest.mark.parametrize("text", HOSTILE)
def test_v1_2_4_what_looks_like_sql_is_only_text(tenant, text):
    made = tenant.owner.post("/workspaces", {"name": text}).json
    path = f"/workspaces/{made['id']}/documents"
    tenant.owner.post(path, {"title": text, "kind": "board"})
    tenant.owner.post(path, {"title": "other", "kind": "board"})
    found = tenant.owner.get(path, query_string={"q": text}).json["items"]
    assert (made["name"], [d["title"] for d in found]) == (text, [text])


def test_v1_2_4_no_statement_is_put_together_from_text():
    spliced = re.compile(r"(text|execute|exec_driver_sql|literal_column)\(\s*(f[\"']|[^)]*[\"'] %)")
    sources = [*ROOT.glob("core/treenail/**/*.py"), *ROOT.glob("plugins/*/treenail_*/**/*.py")]
    found = {
        f"{path.name}: {line.strip()}"
        for path in sources
        if "migrations" not in path.parts
        for line in path.read_text().splitlines()
        if spliced.search(line)
    }
    assert len(sources) > 100
    assert found <= {
        # Pragmas and constants of ours; nobody's input.
        'engines.py: connection.execute(f"PRAGMA {pragma}")',
        'owner.py: connection.execute(f"PRAGMA foreign_keys={foreign_keys}")',
        'owner.py: connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))',
        # Names, which no parameter can be; quoted.
        'purge.py: connection.execute(text(f"DROP FUNCTION {function}"))',
        'purge.py: connection.execute(text(f"DROP TABLE IF EXISTS {doomed}"))',
        'rls.py: connection.exec_driver_sql(f"DROP POLICY IF EXISTS {policy} ON {name}")',
        'rls.py: connection.exec_driver_sql(f"GRANT {rights} ON {kind} {on} TO {to}")',
        "models.py: return row.status.in_("
        "literal_column(f\"'{status}'\") for status in (PENDING, RUNNING))",
    }


def test_v1_3_1_markup_stays_text_in_answers_and_in_mail(app, tenant, run_tasks):
    owner = tenant.owner
    made = owner.post("/tenants", {"name": SCRIPT})
    assert (made.json["name"], made.response.mimetype) == (SCRIPT, "application/json")
    email = f"{uuid7()}@example.com"
    invited = {"email": email, "role": "member"}
    path = f"/tenants/{made.json['id']}/invitations"
    owner.post(path, invited, headers={"X-Tenant-Id": made.json["id"]})
    run_tasks()
    html = html_to(app, email)
    assert "<script" not in html
    assert "<img src=x" not in html


def html_to(app, address: str) -> str:
    folder = Path(app.extensions["treenail"].settings.data_dir) / "mail"
    mails = [message_from_bytes(path.read_bytes(), policy=SMTP) for path in folder.glob("*.eml")]
    [mail] = [mail for mail in mails if mail["To"] == address]
    return str(mail.get_body(("html",)).get_content())


@pytest.mark.parametrize("xml", BOMBS)
def test_v1_5_1_xml_declares_nothing_and_fetches_nothing(tenant, xml):
    workspace = tenant.owner.post("/workspaces", {"name": "Joinery"}).json["id"]
    body = {"name": "Plan", "kind": "diagram", "content": {"xml": xml}}
    answer = tenant.owner.post(f"/workspaces/{workspace}/templates", body)
    assert (answer.status, list(answer.json["errors"])) == (422, ["content"])
    assert "root:" not in answer.response.text


def test_v1_3_6_no_webhook_goes_where_its_tenant_cannot(app, tenant, run_tasks):
    """Not when it is saved; and one that got in past that check is stopped when it is called."""
    with socket.create_server(("127.0.0.1", 0)) as inside:
        inside.settimeout(0)
        url = f"http://127.0.0.1:{inside.getsockname()[1]}/"
        body = {"url": url, "events": ["*"], "schedule": []}
        assert tenant.owner.post("/webhooks/endpoints", body).status == 422
        made = tenant.owner.post("/webhooks/endpoints", {**body, "url": "https://a.invalid/"}).json
        with app.app_context(), tenant_session(tenant.id) as session:
            session.get_one(Endpoint, made["id"]).url = url
        assert tenant.owner.post(f"/webhooks/endpoints/{made['id']}/test").status == 202
        run_tasks()
        with pytest.raises(BlockingIOError):
            inside.accept()
    (dead, *_) = tenant.owner.get("/webhooks/dead-letters").json["items"]
    assert "address_refused" in dead["lastError"]
