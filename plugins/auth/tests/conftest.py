"""The plugin alone, with cheap hashes; people are made through its own API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from treenail.app import create_app
from treenail.db import db
from treenail.ids import uuid7
from treenail.testing import Answer, Client


@pytest.fixture(scope="module")
def environ() -> dict[str, str]:
    return {"TREENAIL_PLUGINS": "auth", "TREENAIL_AUTH_BCRYPT_ROUNDS": "4"}


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

    @property
    def is_alive(self) -> bool:
        return self.call("GET", "/me").status == 200


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
