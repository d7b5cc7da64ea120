"""The web face: how a plugin's routes declare what they need, and answer."""

from treenail.web.access import authenticated, permission, public
from treenail.web.caller import principal
from treenail.web.endpoint import endpoint
from treenail.web.pages import Page, PageRequest, paginate

__all__ = [
    "Page",
    "PageRequest",
    "authenticated",
    "endpoint",
    "paginate",
    "permission",
    "principal",
    "public",
]
