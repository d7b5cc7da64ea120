"""Schemathesis against the served API: nothing breaks it, and it answers as it says it does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from journey import Journey
from populated import fill_workspace, populate, share
from route_matrix import routes
from treenail.db import tenant_session
from treenail.tenants import services
from treenail.testing import LiveServer

HERE = Path(__file__).parent
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_headers_conformance,response_schema_conformance,unsupported_method,ignored_auth"
)


@pytest.fixture(scope="module")
def environ() -> dict[str, str]:
    return {
        "TREENAIL_AUTH_BCRYPT_ROUNDS": "4",
        "TREENAIL_RATE_LIMITS": "off",
        "TREENAIL_LOG_LEVEL": "INFO",
    }


@pytest.fixture(scope="module")
def given(app: Flask, server: LiveServer) -> dict[str, Any]:
    """An owner, and data twice over: what deletes is given the spare."""
    tenant = populate(app, "zq-")
    kept = dict(tenant.ids)
    fill_workspace(tenant)
    share(tenant)
    spare = tenant.ids | {"members": tenant.people["admin"].user_id}
    owner = Journey(server).ann
    with app.app_context(), tenant_session(tenant.id) as session:
        services.join(session, owner.id, "owner")
    ids = {name: {"kept": kept[name], "spare": spare[name]} for name in kept}
    bodies = {
        route.rule.endpoint.replace(".", "_"): next(route.calls(tenant)).body
        for route in routes(app)
        if route.endpoint.body and not route.rule.websocket
    }
    found = {"url": server.url, "token": owner.token, "tenant": tenant.id}
    return found | {"ids": ids, "bodies": bodies}


def fuzz(given: dict[str, Any], seconds: int, folder: Path, *more: str) -> str:
    """Run it; returns what it reported, empty when all was well."""
    command = [
        sys.executable,
        "-m",
        "schemathesis.cli",
        "run",
        f"{given['url']}/api/v1/openapi.json",
    ]
    command += ["--max-time", str(seconds), "--checks", CHECKS, "--no-color", "--no-shrink"]
    command += ["--generation-database", "none", "--continue-on-failure", *more]
    environ = {**os.environ, "FUZZ": json.dumps(given), "SCHEMATHESIS_HOOKS": "fuzz_hooks"}
    environ["PYTHONPATH"] = str(HERE)
    done = subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr if done.returncode else ""


def test_a_sample_finds_nothing(given: dict[str, Any], tmp_path: Path):
    if report := fuzz(given, 20, tmp_path):
        pytest.fail(report, pytrace=False)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_five_minutes_find_nothing(given: dict[str, Any], tmp_path: Path):
    if report := fuzz(given, 300, tmp_path):
        pytest.fail(report, pytrace=False)
