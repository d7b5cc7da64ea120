"""What people do first: register, log in, make a tenant, a workspace, a document."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import SMTP
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from treenail.ids import uuid7
from treenail.testing import LiveServer

JS = Path(__file__).parent / "js"
PASSWORD = "treenail holds 🪵 timber"


@dataclass
class Person:
    """Somebody logged in."""

    server: LiveServer
    email: str
    token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    id: str

    def call(self, method: str, path: str, body: Any = None, expect: int | None = None) -> Any:
        """Call the API; returns the body, or the status when none is expected."""
        status, answer = self.server.call(method, path, body, self.token)
        if expect is None:
            return status
        assert status == expect, (status, answer)
        return answer


def plain(mail: Any) -> str:
    """What a mail says, for those who read no HTML."""
    text: str = mail.get_body(("plain",)).get_content()
    return text


class Journey:
    """A tenant at work on a live server."""

    def __init__(self, server: LiveServer) -> None:
        self.server = server
        self.ann = self.register("Ann Oak")
        self.tenant = self.ann.call("POST", "/tenants", {"name": "Ash & Oak"}, 201)["id"]
        self.workspace = self.ann.call("POST", "/workspaces", {"name": "Joinery"}, 201)["id"]

    def register(self, name: str = "Bob Elm") -> Person:
        """A new person, logged in."""
        email = f"{uuid7()}@example.com"
        body = {"email": email, "password": PASSWORD, "name": name}
        assert self.server.call("POST", "/auth/register", body)[0] == 201
        credentials = {"email": email, "password": PASSWORD}
        status, found = self.server.call("POST", "/auth/login", credentials)
        assert status == 200, found
        user = found["user"]["id"]
        return Person(self.server, email, found["accessToken"], found["refreshToken"], user)

    def member(self, role: str = "member") -> Person:
        """A new member of the tenant, come by invitation."""
        person = self.register()
        self.invite(person.email, role)
        token = self.mailed_token(person.email)
        person.call("POST", "/invitations/accept", {"token": token}, 200)
        return person

    def invite(self, email: str, role: str = "member") -> str:
        """Invite an address; returns the invitation's id."""
        body = {"email": email, "role": role}
        return self.ann.call("POST", f"/tenants/{self.tenant}/invitations", body, 201)["id"]

    def document(self, kind: str = "board") -> str:
        """A new document of the workspace."""
        path = f"/workspaces/{self.workspace}/documents"
        return self.ann.call("POST", path, {"title": "Roof", "kind": kind}, 201)["id"]

    def share(self, document: str, person: Person, role: str) -> None:
        """Give somebody a role on a document."""
        path = f"/documents/{document}/grants/{person.id}"
        self.ann.call("PUT", path, {"role": role}, 200)

    def socket(self, document: str, person: Person | None = None) -> dict[str, str]:
        """What a provider needs: ``base``, ``room`` and ``token``."""
        path = f"/documents/{document}/collab-token"
        found = (person or self.ann).call("POST", path, {}, 200)
        return {"base": found["url"], "room": document, "token": found["token"]}

    def mails(self) -> list[Any]:
        """Every mail sent so far."""
        folder = Path(self.server.settings["TREENAIL_DATA"]) / "mail"
        paths = sorted(folder.glob("*.eml"))
        return [message_from_bytes(path.read_bytes(), policy=SMTP) for path in paths]

    def mailed_token(self, email: str, within: float = 10) -> str:
        """The token of the newest mail to an address, once it is there."""
        deadline = monotonic() + within
        while monotonic() < deadline:
            for mail in reversed(self.mails()):
                text = plain(mail) if mail["To"] == email else ""
                if found := re.search(r"/invitations/accept\?token=(\S+)", text):
                    return found[1]
            sleep(0.05)
        raise AssertionError(f"no invitation for {email} within {within} s")
