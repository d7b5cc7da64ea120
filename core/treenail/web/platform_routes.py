"""Addresses of the platform itself: health, the API's description, what is installed."""

import hmac
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import flask_swagger_ui
import structlog
from flask import Blueprint, Response, current_app, request, send_from_directory
from marshmallow import fields
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy import text

from treenail import inventory, metrics, platform
from treenail.db import system_session
from treenail.errors import NotFound, PermissionDenied, Unauthenticated, Unavailable
from treenail.schemas import Schema
from treenail.web import openapi
from treenail.web.access import authenticated, limited, public
from treenail.web.caller import principal
from treenail.web.endpoint import endpoint
from treenail.web.proxies import is_loopback

root = Blueprint("root", __name__)
blueprint = Blueprint("platform", __name__)
log = structlog.get_logger("treenail.web")
DESCRIPTION = "treenail.openapi"
ASSETS = Path(flask_swagger_ui.__file__).parent / "dist"
SHOWN = {"swagger-ui.css", "index.css", "swagger-ui-bundle.js", "favicon-32x32.png"}
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Treenail API</title>
<link rel="stylesheet" href="docs/swagger-ui.css"><div id="api"></div>
<script src="docs/swagger-ui-bundle.js"></script><script src="docs/start.js"></script></html>"""
START = """SwaggerUIBundle({
  url: "openapi.json", dom_id: "#api", deepLinking: true,
  validatorUrl: null  // the default asks a foreign host
});"""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; base-uri 'none'; form-action 'none'; "
    "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'"
)


class Health(Schema):
    """How the process is."""

    status = fields.String()
    failures = fields.List(fields.String())


class PluginState(Schema):
    """A plugin: ``state`` is enabled, disabled, failed or orphan."""

    name = fields.String()
    version = fields.String(allow_none=True)
    state = fields.String()
    reason = fields.String(allow_none=True)
    requires = fields.List(fields.String())
    revision = fields.String(allow_none=True)
    head = fields.String(allow_none=True)


class Items(Schema):
    """A list that needs no pages."""

    items = fields.List(fields.Dict())


@root.get("/healthz")
@endpoint(limited(public, None), answers=Health)
def healthz() -> dict[str, Any]:
    """The process answers."""
    return {"status": "ok", "failures": []}


@root.get("/readyz")
@endpoint(limited(public, None), answers=Health)
def readyz() -> dict[str, Any]:
    """The process can do its work; degraded where a plugin could not."""
    registry = platform.current().registry
    failures = [str(failure) for failure in registry.failures]
    _check(_database, "database", failures, fatal=True)
    for check in registry.all("health_checks"):
        _check(check.check, check.name, failures)
    return {"status": "degraded" if failures else "ok", "failures": failures}


@root.get("/metrics")
@endpoint(limited(public, None), status=200)
def show_metrics() -> Response:
    """What is measured, for Prometheus; from this machine, or with the token of the settings."""
    token = platform.current().settings.metrics_token
    given = request.headers.get("Authorization", "")
    known = token and hmac.compare_digest(given.encode(), f"Bearer {token}".encode())
    if not known and not is_loopback():
        raise Unauthenticated("This needs the metrics token.")
    return Response(metrics.of(current_app).text(), content_type=CONTENT_TYPE_LATEST)


@blueprint.get("/openapi.json")
@endpoint(public, status=200)
def describe() -> dict[str, Any]:
    """This API as OpenAPI 3.1."""
    _require_docs()
    made: dict[str, Any] = current_app.extensions.setdefault(DESCRIPTION, {})
    if not made:
        made |= openapi.document(current_app, version("treenail-core"))
    return made


@blueprint.get("/docs")
@endpoint(public, status=200)
def docs() -> Response:
    """This API, to be browsed; works offline."""
    _require_docs()
    return Response(PAGE, content_type="text/html", headers={"Content-Security-Policy": POLICY})


@blueprint.get("/docs/<name>")
@endpoint(public, status=200)
def docs_asset(name: str) -> Response:
    """A part of the page that shows this API."""
    _require_docs()
    if name == "start.js":
        return Response(START, content_type="text/javascript")
    if name not in SHOWN:
        raise NotFound()
    return send_from_directory(ASSETS, name, max_age=86400)


@blueprint.get("/event-types")
@endpoint(public, answers=Items)
def event_types() -> dict[str, Any]:
    """Every kind of event, with the JSON schema of its data and an example."""
    return {"items": openapi.event_types(list(platform.current().event_types.values()))}


class PluginList(Schema):
    """Every plugin this deployment knows of."""

    items = fields.List(fields.Nested(PluginState))


@blueprint.get("/plugins")
@endpoint(authenticated, answers=PluginList)
def plugins() -> dict[str, Any]:
    """Which plugins are there, in which state (operators only)."""
    if not principal().is_operator:
        raise PermissionDenied("operations:read")
    return {"items": inventory.plugins(platform.current().registry)}


def _require_docs() -> None:
    if not platform.current().settings.api_docs:
        raise NotFound()


def _check(check: Callable[[], None], name: str, failures: list[str], fatal: bool = False) -> None:
    try:
        check()
    except Exception as error:
        log.warning("health_check_failed", check=name, error=str(error))
        if fatal:
            raise Unavailable(f"The {name} does not answer.") from error
        failures.append(f"{name}: {error}")


def _database() -> None:
    with system_session("readiness", read_only=True) as session:
        session.execute(text("SELECT 1"))
