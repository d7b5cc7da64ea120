"""Provisioning: making a tenant whole, every plugin's step in one transaction."""

import structlog
from sqlalchemy.orm import Session

from treenail import platform
from treenail.contributions import Provisioning
from treenail.errors import Problem
from treenail.models import Tenant, User

log = structlog.get_logger("treenail.provisioning")


class StepFailed(Problem):
    """A plugin's step raised; everything is to be rolled back."""

    code = "provisioning_failed"

    def __init__(self, plugin: str) -> None:
        super().__init__(f"The provisioning step of {plugin} failed.", plugin=plugin)
        self.plugin = plugin


def provision(session: Session, tenant: Tenant, owner: User, password: str | None = None) -> None:
    """Run the steps in dependency order, each in a savepoint.

    Raises `StepFailed`, or the step's own `Problem`.
    """
    provisioning = Provisioning(session, tenant, owner, password)
    for plugin, step in platform.current().registry.implementations("provision_tenant"):
        try:
            with session.begin_nested():
                step(provisioning=provisioning)
        except Problem:
            raise
        except Exception as error:
            log.exception("provisioning_step_failed", plugin=plugin, tenant_id=tenant.id)
            raise StepFailed(plugin) from error
