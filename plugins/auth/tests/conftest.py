"""The plugin alone, with cheap hashes; people are made through its own API."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta

import pyotp
import pytest
import time_machine
from treenail.app import create_app
from treenail.clock import utcnow
from treenail.db import db
from treenail.ids import uuid7
from treenail.testing import Answer, Client


@pytest.fixture(scope="module")
def environ() -> dict[str, str]:
    return {
        "TREENAIL_PLUGINS": "auth",
        "TREENAIL_AUTH_BCRYPT_ROUNDS": "4",
        "TREENAIL_RATE_LIMITS": "off",
    }


@dataclass
class Account:
    """Somebody registered, and ways to act as them."""

    client: Client
    email: str
    password: str = "correct horse battery"

    def log_in(self, password: str | None = None, **options: object) -> Answer:
        body = {"email": self.email, "password": password or self.password}
        return self.client.post("/auth/login", body, **options)

    def session(self) -> Session:
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
        headers = {"Authorization": f"Bearer {self.access}"}
        return self.client.call(method, path, body, headers=headers)

    def refresh(self, token: str | None = None) -> Answer:
        return self.client.post("/auth/refresh", {"refreshToken": token or self.refresh_token})

    def patch(self, **changes: object) -> Answer:
        return self.call("PATCH", "/me", changes)

    def reauthenticate(self, **proof: str) -> Answer:
        return self.call("POST", "/auth/reauthenticate", proof)

    def enrol(self) -> Authenticator:
        """Switch a second factor on."""
        secret = self.call("POST", "/me/totp").json["secret"]
        app = Authenticator(pyotp.TOTP(secret))
        answer = self.call("POST", "/me/totp/confirm", {"code": app.code()})
        assert answer.status == 200
        app.recovery_codes = answer.json["recoveryCodes"]
        return app

    @property
    def me(self) -> dict[str, object]:
        return self.call("GET", "/me").json["user"]

    @property
    def is_alive(self) -> bool:
        return self.call("GET", "/me").status == 200


@dataclass
class Authenticator:
    """Somebody's app, whose clock may be some steps ahead."""

    totp: pyotp.TOTP
    recovery_codes: tuple[str, ...] = ()

    def code(self, steps: int = 0) -> str:
        return self.totp.at(int(utcnow().timestamp()) + 30 * steps)


@pytest.fixture
def after() -> Callable[..., AbstractContextManager[object]]:
    """A block that runs later, by as much as the arguments of a `timedelta` say."""
    return lambda **time: time_machine.travel(utcnow() + timedelta(**time))


@pytest.fixture
def mailed_token(mailbox: Callable[[str], list[str]]) -> Callable[[str, str], str | None]:
    """The token of the newest mail to an address whose link has that path; None without one."""

    def find(address: str, path: str) -> str | None:
        found = re.findall(rf"/{path}\?token=(\S+)", "".join(mailbox(address)))
        return found[-1] if found else None

    return find


@pytest.fixture
def make_account(client: Client) -> Callable[..., Account]:
    def make(password: str = "correct horse battery", name: str = "Ann Oak") -> Account:
        account = Account(client, f"{uuid7()}@example.com", password)
        body = {"email": account.email, "password": password, "name": name}
        assert client.post("/auth/register", body).status == 201
        return account

    return make


@pytest.fixture
def ann(make_account: Callable[..., Account]) -> Account:
    return make_account()


@pytest.fixture
def bob(make_account: Callable[..., Account]) -> Account:
    return make_account(name="Bob Elm")


@pytest.fixture
def elsewhere(deployment: dict[str, str]) -> Iterator[Client]:
    """The same database behind another secret: as if another deployment's tokens came."""
    secret = {"TREENAIL_SECRET_KEY": "another secret, 32 bytes or more"}
    app = create_app({**deployment, **secret})
    yield Client(app)
    with app.app_context():
        db.engine.dispose()
