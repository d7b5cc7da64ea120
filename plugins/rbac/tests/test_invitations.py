"""Invitations: by mail alone, once, within the inviter's ceiling."""

import re
from datetime import timedelta
from email import message_from_bytes
from email.policy import SMTP

import pytest
import time_machine
from treenail.clock import utcnow
from treenail.testing import TestTenant
from treenail.testing.callers import make_person
from treenail_rbac import invitations


@pytest.fixture
def invite(mailbox):
    """Invite an address; returns the answer and the token its mail carries."""

    def send(by, tenant, email, role="member", **more):
        answer = by.post(
            f"/tenants/{tenant.id}/invitations", {"email": email, "role": role, **more}
        )
        texts = mailbox(email)
        found = re.search(r"token=([\w-]+)", texts[-1]) if texts else None
        return answer, found and found[1]

    return send


def test_an_invited_person_joins_and_is_verified(app, tenant: TestTenant, invite, captured_events):
    bob = make_person(app)
    answer, token = invite(tenant.owner, tenant, bob.email.upper(), "admin")
    assert answer.status == 201
    assert token not in str(answer.json)
    joined = bob.post("/invitations/accept", {"token": token})
    assert joined.json["tenantId"] == tenant.id
    assert bob.get("/me").json["user"]["roles"] == ["admin"]
    assert len(captured_events("invitation.accepted")) == 1


def test_a_token_works_once(app, tenant: TestTenant, invite):
    bob = make_person(app)
    _, token = invite(tenant.owner, tenant, bob.email)
    assert bob.post("/invitations/accept", {"token": token}).status == 200
    assert bob.post("/invitations/accept", {"token": token}).code == "invitation_invalid"


def test_a_token_is_for_its_address(app, tenant: TestTenant, invite):
    _, token = invite(tenant.owner, tenant, make_person(app).email)
    thief = make_person(app)
    assert thief.post("/invitations/accept", {"token": token}).code == "invitation_not_yours"
    assert thief.get("/tenants").json["items"] == []


def test_an_expired_or_withdrawn_invitation_is_no_use(app, tenant: TestTenant, invite):
    bob, eve = make_person(app), make_person(app)
    _, token = invite(tenant.owner, tenant, bob.email)
    with time_machine.travel(utcnow() + timedelta(days=7, seconds=1)):
        assert bob.post("/invitations/accept", {"token": token}).code == "invitation_invalid"
    answer, token = invite(tenant.owner, tenant, eve.email)
    path = f"/tenants/{tenant.id}/invitations/{answer.json['id']}"
    assert tenant.owner.delete(path).status == 204
    assert eve.post("/invitations/accept", {"token": token}).code == "invitation_invalid"


def test_the_ceiling_holds_when_inviting_and_when_accepting(app, tenant: TestTenant, invite):
    ann, bob = tenant.member("admin"), make_person(app)
    assert invite(ann, tenant, bob.email, "owner")[0].status == 403
    _, token = invite(ann, tenant, bob.email, "admin")
    tenant.owner.patch(f"/tenants/{tenant.id}/members/{ann.user_id}", {"role": "member"})
    assert bob.post("/invitations/accept", {"token": token}).status == 403
    assert bob.get("/tenants").json["items"] == []


def test_an_invitation_sent_again_has_a_new_token_and_a_new_week(
    app, tenant: TestTenant, invite, mailbox
):
    bob = make_person(app)
    answer, old = invite(tenant.owner, tenant, bob.email)
    path = f"/tenants/{tenant.id}/invitations/{answer.json['id']}/resend"
    with time_machine.travel(utcnow() + timedelta(days=8)):
        sent = tenant.owner.post(path)
        assert sent.json["expiresAt"] > answer.json["expiresAt"]
        new = re.search(r"token=([\w-]+)", mailbox(bob.email)[-1])[1]
        assert bob.post("/invitations/accept", {"token": old}).code == "invitation_invalid"
        assert bob.post("/invitations/accept", {"token": new}).status == 200
        assert tenant.owner.post(path).status == 404


def test_sending_again_keeps_within_the_ceiling(app, tenant: TestTenant, other_tenant, invite):
    answer, _ = invite(tenant.owner, tenant, make_person(app).email, "owner")
    path = f"/tenants/{tenant.id}/invitations/{answer.json['id']}/resend"
    assert tenant.member("admin").post(path).json["permission"] == "tenant:delete"
    assert tenant.member("member").post(path).json["permission"] == "invitation:manage"
    assert other_tenant.owner.post(path).status == 404


def test_members_cannot_invite_and_strangers_see_nothing(tenant, other_tenant, invite):
    body = {"email": "x@example.com", "role": "member"}
    path = f"/tenants/{tenant.id}/invitations"
    assert tenant.member("member").post(path, body).status == 403
    assert other_tenant.owner.post(path, body).status == 404
    assert other_tenant.owner.get(path).status == 404


def test_an_invitation_is_recognised_without_being_used(app, tenant: TestTenant, invite):
    bob = make_person(app)
    _, token = invite(tenant.owner, tenant, bob.email)
    with app.app_context():
        assert invitations.invites(token, bob.email.upper()) is True
        assert invitations.invites(token, "eve@example.com") is False
        assert invitations.invites("unknown", bob.email) is None
    assert bob.post("/invitations/accept", {"token": token}).status == 200
    with app.app_context():
        assert invitations.invites(token, bob.email) is False


def test_the_mail_says_who_invites_whereto_and_escapes_names(app, tenant: TestTenant, invite):
    invite(tenant.owner, tenant, make_person(app).email)
    path = sorted((app.extensions["treenail"].settings.data_dir / "mail").glob("*.eml"))[-1]
    message = message_from_bytes(path.read_bytes(), policy=SMTP)
    assert message["Subject"] == "You are invited to Ash & Oak"
    assert "Ash &amp; Oak" in message.get_body(("html",)).get_content()
