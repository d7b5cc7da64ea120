"""People who call the API in tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from treenail.db import system_session, tenant_session
from treenail.ids import uuid7
from treenail.models import Tenant, User
from treenail.tenants import services
from treenail.testing.injected import SCHEME

API = "/api/v1"


@dataclass(frozen=True)
class Answer:
    """What the API said."""

    response: TestResponse

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.response.status_code

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return self.response.get_json()

    @property
    def code(self) -> str:
        """A problem's machine word."""
        return str(self.json["code"])

    @property
    def headers(self) -> Any:
        """The headers."""
        return self.response.headers


@dataclass
class Client:
    """Calls the API; without headers, as nobody in particular."""

    app: Flask
    headers: dict[str, str] = field(default_factory=dict)
    http: FlaskClient = field(init=False)

    def __post_init__(self) -> None:
        self.http = self.app.test_client(use_cookies=False)

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> Answer:
        """Send a request; a path that begins with ``//`` is from the root."""
        url = path[1:] if path.startswith("//") else API + path
        headers = {**self.headers, **options.pop("headers", {})}
        if body is not None:
            options["json"] = body
        # Read to its end: a streamed answer holds its context as long as it isn't.
        whole = {"buffered": True, **options}
        return Answer(self.http.open(url, method=method, headers=headers, **whole))

    def get(self, path: str, **options: Any) -> Answer:
        """GET."""
        return self.call("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> Answer:
        """POST."""
        return self.call("POST", path, body, **options)

    def put(self, path: str, body: Any = None, **options: Any) -> Answer:
        """PUT."""
        return self.call("PUT", path, body, **options)

    def patch(self, path: str, body: Any = None, **options: Any) -> Answer:
        """PATCH."""
        return self.call("PATCH", path, body, **options)

    def delete(self, path: str, **options: Any) -> Answer:
        """DELETE."""
        return self.call("DELETE", path, **options)


@dataclass
class Caller(Client):
    """A person, calling in one tenant (or in none)."""

    user_id: str = ""
    email: str = ""
    tenant_id: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.headers = {"Authorization": SCHEME + self.user_id, **self.headers}
        if self.tenant_id:
            self.headers["X-Tenant-Id"] = self.tenant_id


@dataclass
class TestTenant:
    """A tenant with an owner, and as many members as a test adds."""

    __test__ = False
    app: Flask
    id: str
    owner: Caller

    def member(self, role: str = "member", spaces: list[str] | None = None) -> Caller:
        """Add somebody new."""
        person = make_person(self.app)
        with self.app.app_context(), tenant_session(self.id) as session:
            services.join(session, person.user_id, role, spaces)
        return Caller(self.app, user_id=person.user_id, email=person.email, tenant_id=self.id)


def make_person(app: Flask, email: str | None = None, name: str = "Ann Oak") -> Caller:
    """Somebody who belongs to no tenant yet."""
    email = email or f"{uuid7()}@example.com"
    with app.app_context(), system_session("test") as session:
        user: User = services.create_user(session, email, name)
        return Caller(app, user_id=user.id, email=email)


def make_tenant(app: Flask, name: str = "Ash & Oak", kind: str = "customer") -> TestTenant:
    """A tenant with an owner."""
    person = make_person(app)
    with app.app_context():
        tenant: Tenant = services.create_tenant(person.user_id, name, kind=kind)
    owner = Caller(app, user_id=person.user_id, email=person.email, tenant_id=tenant.id)
    return TestTenant(app, tenant.id, owner)
