"""Loading plugins: found by entry point, enabled by configuration, ordered by dependency.

Each plugin passes through the same stages; what goes wrong in one is its alone, kept as a
`Failure`. Everything a plugin contributes is collected before any of it touches the
application, so that a failing plugin leaves nothing behind.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import EntryPoint, entry_points
from importlib.metadata import version as distribution_version
from inspect import signature
from typing import Any

import pluggy
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from treenail.errors import ConfigurationError
from treenail.hookspecs import NAMESPACE, REGISTER, PluginSpec
from treenail.plugin import Plugin
from treenail.settings import CoreSettings, RawSettings, Section

GROUP = "treenail.plugins"
CORE = "core"
RECORDS = frozenset({"audit"})
"""Plugins that may act inside the transactions of others."""
FIRST_PARTY = ("auth", "rbac", "audit", "webhooks", "workspaces", "collab")


@dataclass(frozen=True)
class Failure:
    """Why a plugin is not there: the stage it failed in, and how."""

    plugin: str
    stage: str
    reason: str

    def __str__(self) -> str:
        return f"plugin {self.plugin} failed ({self.stage}): {self.reason}"


class PluginError(Exception):
    """Something is wrong with a plugin; says what."""


class HookManager(pluggy.PluginManager):
    """pluggy's manager, which also refuses a hook overridden without its mark."""

    def parse_hookimpl_opts(self, plugin: object, name: str) -> Any:
        """pluggy's extension point: what it would silently ignore is an error here."""
        options = super().parse_hookimpl_opts(plugin, name)
        declared = getattr(PluginSpec, name, None)
        public = declared is not None and not name.startswith("_")
        if options is None and public and getattr(type(plugin), name) is not declared:
            raise PluginError(f"{name} overrides a hook but is not marked @hookimpl")
        if options is not None:
            _check_signature(name, getattr(plugin, name), options)
        return options


@dataclass
class Registry:
    """The plugins of one application, and everything they contribute."""

    settings: CoreSettings
    raw: RawSettings = field(repr=False)
    installed: Mapping[str, Callable[[], Any]]
    enabled: tuple[str, ...] = ()
    """What the settings name, whether or not it could be loaded."""
    plugins: dict[str, Plugin] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    hooks: HookManager = field(default_factory=lambda: _manager())
    contributions: dict[str, dict[str, list[Any]]] = field(default_factory=dict)

    def all(self, kind: str) -> list[Any]:
        """Everything contributed through a register hook, in dependency order."""
        return [item for name in self.plugins for item in self.contributions[name][kind]]

    def implementations(self, hook: str) -> list[tuple[str, Callable[..., Any]]]:
        """Who implements a hook, in dependency order (pluggy's own is last in, first out)."""
        found = {impl.plugin_name: impl for impl in getattr(self.hooks.hook, hook).get_hookimpls()}
        return [(name, _by_name(found[name])) for name in self.plugins if name in found]

    def instance(self, name: str) -> Plugin:
        """An installed plugin; one that isn't enabled is made, to be asked, but not registered.

        Raises whatever its code does, and `ConfigurationError` for wrong settings.
        """
        if name in self.plugins:
            return self.plugins[name]
        cls = self.installed[name]()
        _check_manifest(name, cls)
        made: Plugin = cls(self.raw.section(name, cls.settings_class, self.installed))
        return made

    def drop(self, name: str, stage: str, error: object) -> None:
        """Leave a plugin out whole, and every one that requires it."""
        failure = Failure(name, stage, f"{error}" or type(error).__name__)
        self.failures.append(failure)
        self.contributions.pop(name, None)
        if self.plugins.pop(name, None) is not None and self.hooks.has_plugin(name):
            self.hooks.unregister(name=name)
        if self.settings.on_plugin_error == "fail" or name == CORE:
            raise ConfigurationError(str(failure))
        for other in [p.name for p in self.plugins.values() if name in p.requires]:
            self.drop(other, "requires", f"requires {name}, which failed")


def discover() -> dict[str, EntryPoint]:
    """Installed plugins by name; none of their code is loaded."""
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        if entry.name in found and found[entry.name].value != entry.value:
            raise ConfigurationError(f"two distributions bring a plugin named {entry.name}")
        found[entry.name] = entry
    return found


def load(
    raw: RawSettings, builtin: type[Plugin], extra: Mapping[str, type[Plugin]] | None = None
) -> Registry:
    """Load the built-in plugin, then the enabled ones.

    ``extra`` are classes that no entry point names (tests, notebooks). Raises
    `ConfigurationError` for wrong settings, and for a plugin's failure unless
    ``ON_PLUGIN_ERROR=skip``.
    """
    installed: dict[str, Callable[[], Any]] = {n: e.load for n, e in discover().items()}
    for name, cls in (extra or {}).items():
        installed[name] = partial(_itself, cls)
    settings = raw.core(installed)
    enabled = settings.plugins
    if enabled is None:
        enabled = tuple(name for name in FIRST_PARTY if name in installed) + tuple(extra or ())
    registry = Registry(settings, raw, installed, enabled)
    _register(registry, builtin, Section())
    classes = _import(registry, enabled)
    for name in _in_dependency_order(classes):
        cls = classes[name]
        if missing := [r for r in cls.requires if r not in registry.plugins]:
            failed = {failure.plugin for failure in registry.failures}
            why = "failed" if missing[0] in failed else "is not enabled"
            registry.drop(name, "requires", f"requires {missing[0]}, which {why}")
        else:
            section = raw.section(name, cls.settings_class, registry.installed)
            _register(registry, cls, section)
    _check_pending(registry)
    return registry


def _itself(cls: type[Plugin]) -> type[Plugin]:
    return cls


def _import(registry: Registry, enabled: Iterable[str]) -> dict[str, type[Plugin]]:
    classes: dict[str, type[Plugin]] = {}
    for name in dict.fromkeys(enabled):
        try:
            if name not in registry.installed:
                raise PluginError("is enabled but not installed")
            cls = registry.installed[name]()
            _check_manifest(name, cls)
            classes[name] = cls
        except Exception as error:  # noqa: BLE001  whatever a stranger's import raises
            registry.drop(name, "import", error)
    return classes


def _check_manifest(name: str, cls: Any) -> None:
    if not (isinstance(cls, type) and issubclass(cls, Plugin)):
        raise PluginError("its entry point does not name a treenail.plugin.Plugin")
    if getattr(cls, "name", None) != name:
        raise PluginError(f"its class is named {getattr(cls, 'name', None)!r}")
    if name == CORE:
        raise PluginError("the name is taken")
    if not isinstance(getattr(cls, "version", None), str):
        raise PluginError("its class has no version")
    try:
        fits = SpecifierSet(cls.core).contains(distribution_version("treenail-core"), True)
    except InvalidSpecifier as error:
        raise PluginError(str(error)) from None
    if not fits:
        raise PluginError(f"needs treenail-core {cls.core}")


def _in_dependency_order(classes: dict[str, type[Plugin]]) -> list[str]:
    graph = {
        name: [n for n in (*cls.requires, *cls.optional) if n in classes]
        for name, cls in classes.items()
    }
    sorter = TopologicalSorter(graph)
    try:
        sorter.prepare()
    except CycleError as error:
        circle = " → ".join(error.args[1])
        raise ConfigurationError(f"plugins require one another: {circle}") from None
    order: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())  # sorted: the same order on every start
        order += ready
        sorter.done(*ready)
    return order


def _register(registry: Registry, cls: type[Plugin], settings: Section) -> None:
    try:
        plugin = cls(settings)
        registry.plugins[cls.name] = plugin
        if cls.hookspecs:
            registry.hooks.add_hookspecs(cls.hookspecs)
        registry.hooks.register(plugin, cls.name)
        found = {kind: _checked(kind, getattr(plugin, kind)() or ()) for kind in REGISTER}
        if found["recorders"] and cls.name not in RECORDS:
            raise PluginError("it may not act inside the transactions of others")
        registry.contributions[cls.name] = found
    except Exception as error:  # noqa: BLE001  whatever a stranger's hook raises
        # pluggy's register leaves half a state on an error; drop unregisters it.
        registry.drop(cls.name, "register", error)


def _checked(kind: str, items: Iterable[Any]) -> list[Any]:
    found = list(items)
    for item in found:
        if not isinstance(item, REGISTER[kind]):
            raise PluginError(f"{kind} gave a {type(item).__name__}")
    return found


def _check_signature(name: str, method: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """pluggy passes neither defaulted nor keyword-only arguments; wrappers we don't call."""
    for argument in signature(method).parameters.values():
        if argument.default is not argument.empty or argument.kind is argument.KEYWORD_ONLY:
            raise PluginError(f"{name} would never be given {argument.name}: make it plain")
    if options.get("wrapper") or options.get("hookwrapper"):
        raise PluginError(f"{name} is a wrapper; hooks here have none")


def _check_pending(registry: Registry) -> None:
    """A misspelt hook is silent until asked for."""
    for name, plugin in list(registry.plugins.items()):
        unknown = [
            caller.name
            for caller in registry.hooks.get_hookcallers(plugin) or ()
            for impl in caller.get_hookimpls()
            if impl.plugin_name == name and not caller.has_spec() and not impl.optionalhook
        ]
        if unknown:
            registry.drop(name, "register", f"there is no hook {unknown[0]}")


def _by_name(impl: pluggy.HookImpl) -> Callable[..., Any]:
    def call(**arguments: Any) -> Any:
        return impl.function(*[arguments[name] for name in impl.argnames])

    return call


def _manager() -> HookManager:
    manager = HookManager(NAMESPACE)
    manager.add_hookspecs(PluginSpec)
    return manager
