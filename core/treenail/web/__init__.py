"""The web face: how a plugin's routes declare what they need, and answer."""

from treenail.web.access import authenticated, fresh, permission, public
from treenail.web.caller import principal
from treenail.web.endpoint import endpoint, target
from treenail.web.pages import Order, Page, PageRequest, paginate

__all__ = [
    "Order",
    "Page",
    "PageRequest",
    "authenticated",
    "endpoint",
    "fresh",
    "paginate",
    "permission",
    "principal",
    "public",
    "target",
]
