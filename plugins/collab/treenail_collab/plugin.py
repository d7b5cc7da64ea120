"""The plugin collab at a glance."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from flask import Blueprint, Flask
from treenail.db import TenantSession
from treenail.plugin import Plugin, hookimpl
from treenail_workspaces.models import Document

from treenail_collab import content, routes, seed, service
from treenail_collab.settings import CollabSettings


class Collab(Plugin):
    """Documents edited together, live."""

    name = "collab"
    version = "0.1.0"
    requires = ("workspaces",)
    settings_class = CollabSettings

    @hookimpl
    def blueprints(self) -> Sequence[Blueprint]:
        """The token and the socket; the hub comes with them."""
        settings = cast(CollabSettings, self.settings)
        mounted = Blueprint("collab", __name__)
        mounted.record_once(lambda state: service.install(cast(Flask, state.app), settings))
        mounted.register_blueprint(routes.blueprint)
        return [mounted]

    @hookimpl
    def document_content(self, document: Document) -> Mapping[str, Any]:
        """What is in the document now."""
        return content.content(document)

    @hookimpl
    def seed_document(
        self, session: TenantSession, document: Document, content: Mapping[str, Any]
    ) -> bool:
        """Begin a document with content."""
        seed.seed(session, document, content)
        return True
