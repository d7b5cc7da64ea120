"""What an integrator can tell webhooks: ``TREENAIL_WEBHOOKS_<KEY>``."""

from dataclasses import dataclass
from typing import cast

from marshmallow import fields, validate
from treenail import platform
from treenail.settings import Networks, Section, setting


@dataclass(frozen=True)
class WebhooksSettings(Section):
    """Where requests may go, and for how long."""

    allow_cidrs: tuple[str, ...] = setting(
        Networks(), (), "private addresses or CIDRs that receivers may have"
    )
    deadline_seconds: float = setting(
        fields.Float(validate=validate.Range(0.1, 45)), 15.0, "a request's end, whatever it does"
    )
    disable_seconds: float = setting(
        fields.Float(validate=validate.Range(1)),
        5 * 86400.0,
        "without a success, after which an endpoint is disabled",
    )


def current() -> WebhooksSettings:
    """The present application's."""
    return cast(WebhooksSettings, platform.current().registry.plugins["webhooks"].settings)
