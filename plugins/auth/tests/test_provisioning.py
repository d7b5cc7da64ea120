"""The password that comes with a new tenant's owner."""

import re

from treenail.cli import operators
from treenail.db import system_session
from treenail.ids import uuid7
from treenail.tenants import services
from treenail_auth import credentials


def create_operator(app, email, *options):
    arguments = ["create", "--email", email, "--name", "Olga", *options]
    return app.test_cli_runner().invoke(operators.group, arguments)


def exists(app, email):
    with app.app_context(), system_session("test", read_only=True) as session:
        return services.find_user(session, email) is not None


def log_in(client, email, password):
    return client.post("/auth/login", {"email": email, "password": password})


def test_an_operator_logs_in_with_the_password_given(app, client):
    email = f"{uuid7()}@example.com"
    assert create_operator(app, email, "--password", "olga's password").exit_code == 0
    answer = log_in(client, email, "olga's password")
    assert answer.status == 200
    assert answer.json["redirectTo"].endswith("/provider/dashboard")


def test_an_operator_logs_in_with_the_password_printed(app, client):
    email = f"{uuid7()}@example.com"
    output = create_operator(app, email).output
    [password] = re.findall(r"^password (\S+)$", output, re.M)
    assert log_in(client, email, password).status == 200


def test_an_operators_address_need_not_be_one_that_could_register(app, client):
    create_operator(app, "root@localhost", "--password", "root's password")
    assert log_in(client, "Root@LOCALHOST", "root's password").status == 200


def test_a_password_one_has_stays(app, ann):
    assert create_operator(app, ann.email, "--password", "olga's password").exit_code == 0
    assert ann.log_in("olga's password").status == 401
    assert ann.log_in().status == 200


def test_a_tenant_made_without_a_password_gives_none(app, client, tenant):
    assert log_in(client, tenant.owner.email, "").code == "invalid_credentials"


def test_too_short_a_password_is_said_plainly_and_makes_nobody(app):
    email = f"{uuid7()}@example.com"
    result = create_operator(app, email, "--password", "7 chars")
    assert result.exit_code == 1
    assert result.output == "Error: A password has 8 to 256 characters.\n"
    assert not exists(app, email)


def test_a_person_whose_step_fails_is_not_made(app, monkeypatch):
    monkeypatch.setattr(credentials, "Password", None)
    email = f"{uuid7()}@example.com"
    assert create_operator(app, email, "--password", "olga's password").exit_code == 1
    assert not exists(app, email)
