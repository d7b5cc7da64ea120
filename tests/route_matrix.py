"""Every route × method × caller × a foreign tenant's ids, generated from ``app.url_map``.

`sweep` calls them all and returns what it found wrong. What it can't call it reports too: a
new route is either reached, or named. After prebid/salesagent's walk over a Flask URL map,
which found ten leaks where each route's own tests had found none.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from flask import Flask
from marshmallow import fields, validate
from populated import PASSWORD, PNG, Populated
from treenail import platform
from treenail.schemas import Id, Moment, Schema
from treenail.testing import Answer, Caller, Client
from treenail.testing.callers import API, make_person
from treenail.web import openapi
from treenail.web.endpoint import Endpoint
from werkzeug.routing import Rule

ARGUMENT = re.compile(r"([^/<>]+)/<(?:\w+:)?(\w+)>")
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
GUESTS_SEE = {"tenant", "role", "guest"}
"""Of their tenant: its name, its roles, themselves."""

PUBLIC = {
    "root.": "says how the process is, nothing about tenants",
    "platform.": "describes the program, nothing about tenants",
    "auth.": "how one becomes somebody; what a mailed token opens is auth's own tests' matter",
}
SOCKETS = {"collab.live.collab": "test_admission.py: foreign tokens see no byte"}
BY_TOKEN = {
    "workspaces_links.open_link": "the token is the key: an id in its place opens nothing",
    "rbac.accept": "the token is the key, and it is for one address",
}
TOLD_NOTHING = {
    "rbac.check_permissions": "answers any id, that nothing grants it",
    "webhooks_deliveries.list_deliveries": "finds nothing that is of a foreign id",
    "webhooks_deliveries.list_dead_letters": "finds nothing that is of a foreign id",
}
"""Routes that answer 2xx to foreign ids in the body or the query."""

ENDPOINT = {
    "url": "https://hooks.invalid/",
    "events": ["document.*"],
    "headers": {"X-Eve": "1"},
    "schedule": [60],
    "enabled": True,
}
BODIES: dict[str, dict[str, Any]] = {
    "Check": {"permission": "document:read"},
    "Reference": {"type": "document"},
    "NewTemplate": {"content": {"objects": {}}, "thumbnail": PNG},
    "RoleChoice": {"role": "viewer"},
    "NewInvitation": {"role": "viewer"},  # of the workspace
    "NewRole": {"resourceType": "tenant"},
    "Reauthentication": {"password": PASSWORD},
    "ProfileChange": {"name": "Eve"},
    "NewEndpoint": ENDPOINT,
    "EndpointChange": ENDPOINT,
    "ReplayOrder": {"status": "dead"},
}
"""What fields of a schema get whose type alone doesn't say it."""
VALUES = {
    "email": "eve@example.com",
    "password": "nobody's password 🪵",
    "role": "member",
    "spaces": ["client"],
    "space": "client",
    "permissions": ["document:create"],
    "expiresAt": "2999-01-01T00:00:00.000Z",
}


@dataclass(frozen=True)
class Finding:
    """A route, and what is wrong with it."""

    route: str
    what: str

    def __str__(self) -> str:
        return f"{self.route}: {self.what}"


class Unfillable(Exception):
    """Nothing is known that could stand in the place of a parameter."""


@dataclass
class Call:
    """A request that could be sent; ``foreign`` are the ids of the other tenant in it."""

    method: str
    path: str
    body: Any
    foreign_path: bool
    foreign_body: bool
    sent: set[str] = field(default_factory=set)

    def by(self, caller: Client, **options: Any) -> Answer:
        """Send it; ``options`` are those of the test client."""
        self.sent = set(UUID.findall(f"{self.path} {self.body} {caller.headers}"))
        body = None if "data" in options else self.body
        return caller.call(self.method, at(self.path), body, **options)


@dataclass(frozen=True)
class Route:
    """A rule of the application under one method."""

    method: str
    rule: Rule
    endpoint: Endpoint

    def __str__(self) -> str:
        return f"{self.method} {self.rule.rule}"

    @property
    def kind(self) -> str:
        """public, authenticated or permission."""
        return self.endpoint.access.kind

    def calls(self, *sources: Populated) -> Iterator[Call]:
        """With ids of the last tenant named, and every mixture with those before it.

        A nested route may check its outer id and forget the inner one.
        """
        victim = sources[-1]
        arguments = [match[1] for match in ARGUMENT.finditer(self.rule.rule)]
        if self.rule.arguments and len(arguments) != len(self.rule.arguments):
            raise Unfillable("its path has parameters that follow no collection")
        for mixture in product(sources, repeat=len(arguments)):
            if arguments and victim not in mixture:
                continue
            body, query = self._body(victim.ids), self._query(victim.ids)
            path = self._path(zip(arguments, mixture, strict=True)) + query
            named = UUID.findall(f"{body}{query}")
            yield Call(self.method, path, body, bool(arguments), bool(named))

    def _path(self, filled: Iterator[tuple[str, Populated]]) -> str:
        def fill(match: re.Match[str]) -> str:
            collection, source = next(filled)
            if collection not in source.ids:
                raise Unfillable(f"no id is known for {match[0]}")
            return f"{collection}/{source.ids[collection]}"

        return ARGUMENT.sub(fill, self.rule.rule)

    def _body(self, ids: dict[str, str]) -> Any:
        return body_of(self.endpoint.body, ids) if self.endpoint.body else None

    def _query(self, ids: dict[str, str]) -> str:
        said = body_of(self.endpoint.query, ids) if self.endpoint.query else {}
        return "?" * bool(said) + "&".join(f"{key}={value}" for key, value in said.items())


def at(path: str) -> str:
    """A path of the application, as the testing kit's clients take it."""
    return path.removeprefix(API) if path.startswith(API) else f"/{path}"


def routes(app: Flask) -> Iterator[Route]:
    """Every route of the application; an answer to OPTIONS is no view's."""
    for rule, endpoint in openapi.declared(app):
        for method in sorted((rule.methods or set()) - {"OPTIONS"}):
            yield Route(method, rule, endpoint)


def body_of(schema: type[Schema] | Schema, ids: dict[str, str]) -> dict[str, Any]:
    """A body that fits, with ids of that tenant wherever one can stand."""
    made = schema() if isinstance(schema, type) else schema
    said = BODIES.get(type(made).__name__, {})
    only = said if type(made).__name__ in ("Reauthentication", "ProfileChange") else None
    return {
        name: said[name] if name in said else _value(name, one, ids, said)
        for one in made.fields.values()
        if (name := one.data_key or "") and (only is None or name in only)
    }


def _value(name: str, kind: Any, ids: dict[str, str], said: dict[str, Any]) -> Any:
    if isinstance(kind, fields.Nested):
        return body_of(kind.schema, ids)
    if isinstance(kind, Id):
        collection = f"{said['type'] if name == 'id' else re.sub('Ids?$', '', name)}s"
        if collection not in ids:
            raise Unfillable(f"no id is known for the field {name}")
        return ids[collection]
    if choices := [c for v in kind.validators if isinstance(v, validate.OneOf) for c in v.choices]:
        return choices[0]
    if name in VALUES:
        return VALUES[name]
    if isinstance(kind, fields.List):
        return [_value(name, kind.inner, ids, said)]
    examples = {fields.Integer: 1, fields.Boolean: True, fields.Dict: {}, fields.Date: "2026-01-01"}
    examples[Moment] = "2026-01-01T00:00:00.000Z"
    return next((v for t, v in examples.items() if isinstance(kind, t)), secrets.token_hex(8))


def strangers(own: Populated, victim: Populated) -> dict[str, Client]:
    """Everybody to whom the victim's data is no business."""
    app, header = own.app, {"X-Tenant-Id": victim.id}
    outsider = make_person(app)
    found: dict[str, Client] = {
        f"{role} of another tenant": own.people[role]
        for role in ("owner", "admin", "member", "guest")
    }
    return found | {
        "nobody": Client(app),
        "nobody, with the tenant's header": Client(app, header),
        "an owner, with the tenant's header": _saying(own.owner, header),
        "somebody of no tenant": outsider,
        "somebody of no tenant, with the tenant's header": _saying(outsider, header),
    }


def _saying(caller: Caller, header: dict[str, str]) -> Caller:
    return Caller(caller.app, dict(header), user_id=caller.user_id, email=caller.email)


class Watch:
    """A tenant's rows, and which tables have changed since somebody last asked."""

    def __init__(self, tenant: Populated) -> None:
        self.tenant = tenant
        self.rows = tenant.rows()

    def changes(self) -> list[str]:
        """Name the tables."""
        before, self.rows = self.rows, self.tenant.rows()
        return [f"changes {table}" for table in before if before[table] != self.rows[table]]


def sweep(own: Populated, victim: Populated, among: str = "") -> list[Finding]:
    """Call everything (``among`` these addresses), as everybody; tell what was wrong."""
    found: dict[Finding, None] = {}
    watch = Watch(victim)
    for route in routes(own.app):
        if not route.rule.rule.startswith(among):
            continue
        said = list(_unreached(route))
        if not route.rule.websocket and not said:
            try:
                said = [*_by_strangers(route, own, watch), *_by_a_guest(route, watch)]
            except Unfillable as problem:
                said = [str(problem)]
        found |= dict.fromkeys(Finding(str(route), what) for what in said)
    return list(found)


def _unreached(route: Route) -> Iterator[str]:
    name = route.rule.endpoint
    if route.rule.websocket:
        if name not in SOCKETS:
            yield "no test of its own tries this socket with foreign tokens"
    elif route.kind == "public" and not name.startswith(tuple(PUBLIC)):
        yield "is public for no declared reason"


def _by_strangers(route: Route, own: Populated, watch: Watch) -> Iterator[str]:
    victim, theirs = watch.tenant, _ids(watch.rows)
    for name, caller in strangers(own, victim).items():
        for call in route.calls(own, victim):
            answer = call.by(caller)
            for what in _judged(route, name, call, answer):
                yield f"{name}: {what}"
            if leaked := _marks(answer, victim):
                yield f"{name} reads its {', '.join(sorted(leaked))}"
            if (_ids_told(answer) & theirs) - call.sent:
                yield f"{name} is told its ids"
    yield from watch.changes()


def _judged(route: Route, name: str, call: Call, answer: Answer) -> Iterator[str]:
    """Whether the status fits who asks; what may not be seen is not there."""
    if answer.status >= 500:
        yield f"answered {answer.status}"
    if route.kind == "public":
        return
    if name.startswith("nobody"):
        fitting = {401}
    elif "header" in name:
        fitting = {404}
    elif call.foreign_path or route.rule.endpoint in BY_TOKEN:
        fitting = {404, 422} if name.startswith("owner") else {403, 404, 409, 422}
    elif call.foreign_body and route.rule.endpoint not in TOLD_NOTHING:
        fitting = {403, 404, 409, 422}
    else:
        return
    if answer.status not in fitting:
        yield f"answered {answer.status}"


def _by_a_guest(route: Route, watch: Watch) -> Iterator[str]:
    """A guest of the tenant itself, to whom nobody gave anything."""
    if route.kind != "permission":
        return
    victim = watch.tenant
    tenant = platform_of(victim.app).resource_types["tenant"]
    held = route.endpoint.access.permission in tenant.roles["guest"]
    for call in route.calls(victim):
        answer = call.by(victim.people["guest"])
        if not held and answer.status not in (403, 404):
            yield f"a guest: answered {answer.status}"
        if leaked := _marks(answer, victim) - GUESTS_SEE:
            yield f"a guest reads its {', '.join(sorted(leaked))}"
    # That a member was refused goes on the tenant's record, as it should.
    changed = [what for what in watch.changes() if not what.startswith("changes audit_")]
    if not held or route.method in ("GET", "HEAD"):
        yield from changed


def platform_of(app: Flask) -> platform.Platform:
    """The application's platform."""
    found: platform.Platform = app.extensions["treenail"]
    return found


def _marks(answer: Answer, victim: Populated) -> set[str]:
    told = f"{answer.response.get_data(as_text=True)} {answer.headers}"
    return set(re.findall(rf"{victim.mark}([a-z]+)", told))


def _ids_told(answer: Answer) -> set[str]:
    return set(UUID.findall(answer.response.get_data(as_text=True)))


def _ids(rows: dict[str, list[dict[str, Any]]]) -> set[str]:
    return set(UUID.findall(repr(rows)))
