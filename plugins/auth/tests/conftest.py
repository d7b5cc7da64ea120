"""The plugin alone, with cheap hashes; people are made through its own API."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta

import pytest
import time_machine
from treenail.app import create_app
from treenail.clock import utcnow
from treenail.db import db
from treenail.testing import Client
from treenail_auth.testing import Account, register


@pytest.fixture(scope="module")
def environ() -> dict[str, str]:
    return {
        "TREENAIL_PLUGINS": "auth",
        "TREENAIL_AUTH_BCRYPT_ROUNDS": "4",
        "TREENAIL_RATE_LIMITS": "off",
    }


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
    return lambda **about: register(client, **about)


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
