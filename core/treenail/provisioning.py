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


def hash_password(password: str, *about: str) -> str | None:
    """What may be kept of an owner's password; None where no plugin keeps passwords.

    ``about`` is the person's e-mail and name. Called before the transaction: a hash takes a
    quarter of a second, and on SQLite every other writer would wait for it. Raises `Invalid`
    for a password that is refused.
    """
    hook = platform.current().registry.hooks.hook.hash_password
    made: str | None = hook(password=password, about=about)
    return made


def provision(
    session: Session, tenant: Tenant, owner: User, password_hash: str | None = None
) -> None:
    """Run the steps in dependency order, each in a savepoint.

    Raises `StepFailed`, or the step's own `Problem`.
    """
    provisioning = Provisioning(session, tenant, owner, password_hash)
    for plugin, step in platform.current().registry.implementations("provision_tenant"):
        try:
            with session.begin_nested():
                step(provisioning=provisioning)
        except Problem:
            raise
        except Exception as error:
            log.exception("provisioning_step_failed", plugin=plugin, tenant_id=tenant.id)
            raise StepFailed(plugin) from error
