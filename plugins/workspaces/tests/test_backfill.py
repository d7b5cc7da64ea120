"""Documents from before there was a search are found by it."""

import flask_migrate
from flask import g
from treenail.db import db


def migrate(app, command, revision):
    with app.app_context():
        g.migrating = app.extensions["treenail"].registry.plugins["workspaces"]
        getattr(flask_migrate, command).__wrapped__(revision=revision)
        db.engine.dispose()


def test_titles_get_their_key_when_the_database_is_upgraded(app, tenant, workspace):
    path = f"/workspaces/{workspace}/documents"
    for title in ("Große Straße", "ÉTÉ"):
        tenant.owner.post(path, {"title": title, "kind": "board"})
    migrate(app, "downgrade", "workspaces_0001")
    migrate(app, "upgrade", "head")
    for q, wanted in (("STRASSE", "Große Straße"), ("été", "ÉTÉ")):
        found = tenant.owner.get(path, query_string={"q": q}).json["items"]
        assert [item["title"] for item in found] == [wanted]
