"""The hooks this plugin adds, for whoever keeps the content of documents."""

from collections.abc import Mapping
from typing import Any

from treenail.db import TenantSession
from treenail.hookspecs import hookspec

from treenail_workspaces.models import Document


class WorkspacesSpec:
    """Hooks about documents."""

    @hookspec(firstresult=True)
    def document_content(self, document: Document) -> Mapping[str, Any] | None:
        """What is in the document now: ``objects``, ``xml`` and ``version``.

        Decide: the first answer counts; what raises fails the request.
        """

    @hookspec(firstresult=True)
    def seed_document(
        self, session: TenantSession, document: Document, content: Mapping[str, Any]
    ) -> bool | None:
        """Keep what a document that is being made begins with: ``objects`` or ``xml``.

        Step: in the transaction that makes the document, which what raises rolls back.
        The first that answers True has kept it; when nobody does, the document is refused.
        """
