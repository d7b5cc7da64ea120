"""The ``Idempotency-Key`` of a request: its first answer is kept, and given again."""

import hashlib
import re

import structlog
from flask import Response, current_app, request
from sqlalchemy.exc import SQLAlchemyError

from treenail import context, idempotency
from treenail.db import session, system_session
from treenail.errors import BadRequest
from treenail.idempotency import Use
from treenail.models import Tenant
from treenail.principal import Principal

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
EXEMPT = "/api/v1/auth/"
WELL_FORMED = re.compile(r"[\x21-\x7e]{1,255}")
KEPT_HEADERS = ("Content-Type", "ETag", "Location")
log = structlog.get_logger("treenail.web")


def use_of(principal: Principal, tenant_id: str | None) -> Use | None:
    """How the request uses a key; None when it doesn't. Raises 400 for one that is none."""
    key = context.request().headers.get(HEADER)
    if key is None or request.method not in METHODS or request.path.startswith(EXEMPT):
        return None
    if not WELL_FORMED.fullmatch(key):
        raise BadRequest(f"{HEADER} is 1 to 255 visible ASCII characters.")
    scope = _digest(request.method, request.path, key)
    asked = _digest(request.method, request.full_path, request.get_data())
    return Use(tenant_id, principal.user_id, scope, asked)


def replay(use: Use) -> Response | None:
    """The first answer, marked as such; None the first time."""
    if use.tenant_id:
        found = idempotency.find(session(), use)
    else:
        with system_session("idempotency key of a person") as across:
            found = idempotency.find(across, use)
    if found is None:
        return None
    return Response(found.body, found.status, {**found.headers, REPLAYED: "true"})


def removed(use: Use) -> bool:
    """Whether this very DELETE has removed what it is asked to remove."""
    return request.method == "DELETE" and idempotency.find(session(), use) is not None


def keep(use: Use, answer: object) -> Response:
    """The answer, kept: with the change where the request has a session, else right after it."""
    response: Response = current_app.make_response(answer)  # type: ignore[arg-type]
    if response.status_code >= 400:
        return response
    headers = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
    kept = idempotency.Answer(response.status_code, headers, response.get_data())
    if use.tenant_id:
        # With the tenant itself its keys go: nobody is left who could ask again.
        if not any(isinstance(gone, Tenant) for gone in session().deleted):
            idempotency.keep(session(), use, kept)
        return response
    try:
        with system_session("idempotency key of a person") as across:
            idempotency.keep(across, use, kept)
    except SQLAlchemyError:  # the change is made: a failure now would call for a second one
        log.exception("idempotent_answer_not_kept")
    return response


def _digest(*parts: str | bytes) -> str:
    """SHA-256 over the parts, each with its length before it."""
    made = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        made.update(len(data).to_bytes(8, "big") + data)
    return made.hexdigest()
