"""What Schemathesis is told about this API; loaded by its command line, not by pytest.

``FUZZ`` in the environment says where the server is, who calls, and which ids exist.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any

import requests
import schemathesis
from hypothesis import strategies as st
from treenail.ids import uuid7

GIVEN = json.loads(os.environ["FUZZ"])
API = f"{GIVEN['url']}/api/v1"
PASSWORD = "treenail holds 🪵 timber"
ARGUMENT = re.compile(r"([^/{}]+)/\{(\w+)\}")
ENDS_SESSIONS = ("/auth/logout", "/me/sessions/{", "/me/totp", "/auth/reauthenticate")


@schemathesis.hook
def before_load_schema(context: Any, raw_schema: dict[str, Any]) -> None:
    """Ids of the tenant's data as examples, so that routes are asked about what exists."""
    for path, operations in raw_schema["paths"].items():
        ids = known_ids(path)
        for method, operation in operations.items():
            for parameter in operation["parameters"]:
                if parameter["in"] == "path" and parameter["name"] in ids:
                    of = "spare" if method == "delete" else "kept"
                    parameter["example"] = ids[parameter["name"]][of]


@schemathesis.hook
def before_generate_path_parameters(context: Any, strategy: Any) -> Any:
    """Mostly ids that exist."""
    if context.operation is None or not (ids := known_ids(context.operation.path)):
        return strategy
    of = "spare" if context.operation.method.lower() == "delete" else "kept"
    real = {name: st.just(found[of]) for name, found in ids.items()}
    return st.one_of(st.fixed_dictionaries(real), st.fixed_dictionaries(real), strategy)


@schemathesis.hook
def before_generate_body(context: Any, strategy: Any) -> Any:
    """Now and then one that fits, also where the schema alone doesn't say what does."""
    name = context.operation.definition.raw.get("operationId") if context.operation else None
    good = GIVEN["bodies"].get(name)
    return st.one_of(st.just(good), strategy) if good else strategy


def known_ids(path: str) -> dict[str, Any]:
    """By parameter."""
    found = {name: GIVEN["ids"].get(collection) for collection, name in ARGUMENT.findall(path)}
    return found if all(found.values()) else {}


@schemathesis.auth(refresh_interval=None)
class Sessions:
    """The owner's session; where a call may end sessions, one of somebody who came for it."""

    def get(self, case: schemathesis.Case, context: Any) -> str:
        path = case.operation.path.removeprefix("/api/v1")
        own = case.operation.method.upper() == "PATCH" and path == "/me"
        return fresh_token() if own or path.startswith(ENDS_SESSIONS) else GIVEN["token"]

    def set(self, case: schemathesis.Case, data: str, context: Any) -> None:
        tenant = {"X-Tenant-Id": GIVEN["tenant"]} if data == GIVEN["token"] else {}
        case.headers = {**(case.headers or {}), **tenant, "Authorization": f"Bearer {data}"}


def fresh_token() -> str:
    """Register somebody and log them in."""
    person = {"email": f"{uuid7()}@example.com", "password": PASSWORD}
    requests.post(f"{API}/auth/register", json={**person, "name": "Eve"}, timeout=30)
    return str(requests.post(f"{API}/auth/login", json=person, timeout=30).json()["accessToken"])
