"""What is installed, enabled, failed, or left behind in the database."""

from typing import Any

from treenail import migrate
from treenail.db import db
from treenail.registry import Registry


def plugins(registry: Registry) -> list[dict[str, Any]]:
    """A row per plugin, sorted by name: `state` enabled, disabled, failed or orphan.

    An orphan is a plugin whose tables are there but whose distribution is not.
    """
    revisions = migrate.present_revisions(db.engine)
    failed = {failure.plugin: failure for failure in registry.failures}
    names = registry.installed.keys() | revisions.keys() | failed.keys() | registry.plugins.keys()
    return [_row(registry, name, revisions.get(name), failed.get(name)) for name in sorted(names)]


def _row(registry: Registry, name: str, revision: str | None, failure: Any) -> dict[str, Any]:
    plugin = registry.plugins.get(name)
    state = "enabled" if plugin else "disabled"
    if failure:
        state = "failed"
    elif name not in registry.installed and plugin is None:
        state = "orphan"
    return {
        "name": name,
        "version": plugin.version if plugin else None,
        "state": state,
        "reason": failure.reason if failure else None,
        "requires": list(plugin.requires) if plugin else [],
        "revision": revision,
        "head": migrate.head(plugin) if plugin else None,
    }
