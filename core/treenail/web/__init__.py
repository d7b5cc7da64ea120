"""The web face: how a plugin's routes declare what they need, and answer."""

from treenail.web.access import (
    authenticated,
    fresh,
    limited,
    permission,
    public,
    recorded,
)
from treenail.web.caller import principal
from treenail.web.endpoint import endpoint, target
from treenail.web.pages import Order, Page, PageRequest, paginate, paginate_rows

__all__ = [
    "Order",
    "Page",
    "PageRequest",
    "authenticated",
    "endpoint",
    "fresh",
    "limited",
    "paginate",
    "paginate_rows",
    "permission",
    "principal",
    "public",
    "recorded",
    "target",
]
