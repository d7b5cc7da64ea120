"""The hook this plugin adds, for whoever keeps the content of documents."""

from collections.abc import Mapping
from typing import Any

from treenail.hookspecs import hookspec

from treenail_workspaces.models import Document


class WorkspacesSpec:
    """Hooks about documents."""

    @hookspec(firstresult=True)
    def document_content(self, document: Document) -> Mapping[str, Any] | None:
        """What is in the document now: ``objects``, ``xml`` and ``version``.

        Decide: the first answer counts; what raises fails the request.
        """
