"""People with accounts, for the tests of whoever has this plugin enabled."""

from __future__ import annotations

from dataclasses import dataclass

import pyotp
from treenail.clock import utcnow
from treenail.ids import uuid7
from treenail.testing import Answer, Client

PASSWORD = "correct horse battery"  # noqa: S105  a test's


def register(client: Client, password: str = PASSWORD, name: str = "Ann Oak") -> Account:
    """Somebody new, by the front door."""
    account = Account(client, f"{uuid7()}@example.com", password)
    body = {"email": account.email, "password": password, "name": name}
    assert client.post("/auth/register", body).status == 201  # noqa: S101  a test's
    return account


@dataclass
class Account:
    """Somebody registered, and ways to act as them."""

    client: Client
    email: str
    password: str = PASSWORD

    def log_in(self, password: str | None = None, **options: object) -> Answer:
        """Try the first step of a log-in."""
        body = {"email": self.email, "password": password or self.password}
        return self.client.post("/auth/login", body, **options)

    def session(self) -> Session:
        """Log in."""
        return Session(self.client, **self.log_in().json)


class Session:
    """One log-in: its present tokens, and calls made with them."""

    def __init__(self, client: Client, **answer: object) -> None:
        self.client = client
        self.access = str(answer["accessToken"])
        self.refresh_token = str(answer["refreshToken"])
        self.user = answer.get("user")
        self.redirect_to = answer.get("redirectTo")

    def call(self, method: str, path: str, body: object = None) -> Answer:
        """Send a request as this person."""
        headers = {"Authorization": f"Bearer {self.access}"}
        return self.client.call(method, path, body, headers=headers)

    def refresh(self, token: str | None = None) -> Answer:
        """Ask for the next pair of tokens."""
        return self.client.post("/auth/refresh", {"refreshToken": token or self.refresh_token})

    def patch(self, **changes: object) -> Answer:
        """Change one's profile."""
        return self.call("PATCH", "/me", changes)

    def reauthenticate(self, **proof: str) -> Answer:
        """Prove once more who one is."""
        return self.call("POST", "/auth/reauthenticate", proof)

    def enrol(self) -> Authenticator:
        """Switch a second factor on."""
        secret = self.call("POST", "/me/totp").json["secret"]
        app = Authenticator(pyotp.TOTP(secret))
        answer = self.call("POST", "/me/totp/confirm", {"code": app.code()})
        assert answer.status == 200, answer.json  # noqa: S101  a test's
        app.recovery_codes = answer.json["recoveryCodes"]
        return app

    @property
    def me(self) -> dict[str, object]:
        """What the API says about the person."""
        user: dict[str, object] = self.call("GET", "/me").json["user"]
        return user

    @property
    def is_alive(self) -> bool:
        """Whether the access token still opens anything."""
        return self.call("GET", "/me").status == 200


@dataclass
class Authenticator:
    """Somebody's app, whose clock may be some steps ahead."""

    totp: pyotp.TOTP
    recovery_codes: tuple[str, ...] = ()

    def code(self, steps: int = 0) -> str:
        """What the app shows."""
        return self.totp.at(int(utcnow().timestamp()) + 30 * steps)
