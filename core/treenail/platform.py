"""The running platform: settings, plugins and what they contribute, looked up by name."""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from jinja2 import Environment
from sqlalchemy.util import LRUCache

from treenail import context, mail_templates
from treenail.contributions import (
    EventType,
    PeriodicTask,
    Recorder,
    ResourceType,
    Subscription,
)
from treenail.crypto import KeyRing, parse_key_ring
from treenail.errors import ConfigurationError
from treenail.registry import Registry
from treenail.settings import CoreSettings

T = TypeVar("T")


@dataclass
class Platform:
    """Everything a service may ask of the deployment; one per application."""

    registry: Registry

    @property
    def settings(self) -> CoreSettings:
        """The core's settings, secrets complete."""
        return self.registry.settings

    @cached_property
    def keyring(self) -> KeyRing:
        """The keys of data at rest."""
        return parse_key_ring(self.settings.encryption_keys)

    @cached_property
    def event_types(self) -> dict[str, EventType]:
        """Event types by name."""
        return _by_name(self.registry.all("event_types"), "event type")

    @cached_property
    def resource_types(self) -> dict[str, ResourceType]:
        """Resource types by name, each with a parent that exists."""
        types: dict[str, ResourceType] = _by_name(
            self.registry.all("resource_types"), "resource type"
        )
        for kind in types.values():
            if kind.parent and kind.parent.type not in types:
                raise ConfigurationError(f"{kind.name} lies in an unknown {kind.parent.type}")
        return types

    @cached_property
    def subscriptions(self) -> dict[str, Subscription]:
        """Subscriptions by ``<plugin>.<name>``."""
        return self._of_plugins("subscriptions")

    @cached_property
    def periodic_tasks(self) -> dict[str, PeriodicTask]:
        """Periodic tasks by ``<plugin>.<name>``."""
        return self._of_plugins("periodic_tasks")

    @cached_property
    def recorders(self) -> list[Recorder]:
        """Who is told of every act."""
        return self.registry.all("recorders")

    @cached_property
    def permissions(self) -> frozenset[str]:
        """Every permission there is."""
        return frozenset().union(*(kind.permissions for kind in self.resource_types.values()))

    @cached_property
    def mail_templates(self) -> Environment:
        """The words of messages: the integrator's first, then the last plugin's."""
        own = self.settings.mail_templates
        folders = [p.mail_templates() for p in reversed(self.registry.plugins.values())]
        folders.insert(0, Path(own) if own else None)
        return mail_templates.environment(folder for folder in folders if folder)

    @cached_property
    def _kept(self) -> Any:
        return LRUCache(4096)

    def keep(self, key: Hashable, make: Callable[[], T]) -> T:
        """What is made once for the key, and again when it was long not asked for."""
        found: T | None = self._kept.get(key)
        if found is None:
            found = self._kept[key] = make()
        return found

    def validate(self) -> None:
        """Compute everything once, so that a clash stops the start and not a request."""
        kinds = ("event_types", "resource_types", "subscriptions", "periodic_tasks")
        for name in ("keyring", *kinds):
            getattr(self, name)

    def _of_plugins(self, kind: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for plugin in self.registry.plugins:
            for name, item in _by_name(self.registry.contributions[plugin][kind], kind).items():
                found[f"{plugin}.{name}"] = item
        return found


def current() -> Platform:
    """The present application's platform."""
    platform: Platform = context.app().extensions["treenail"]
    return platform


def _by_name(items: Iterable[Any], what: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in items:
        if item.name in found:
            raise ConfigurationError(f"two plugins bring the {what} {item.name}")
        found[item.name] = item
    return found
