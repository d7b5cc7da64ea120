"""The joint: what is loaded, in which order, and what becomes of a plugin that fails."""

import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from flask import Blueprint
from marshmallow import Schema
from sqlalchemy import true
from treenail import registry
from treenail.contributions import (
    EventType,
    HealthCheck,
    Parent,
    PeriodicTask,
    ResourceType,
    Rule,
    Subscription,
)
from treenail.errors import ConfigurationError
from treenail.hookspecs import REGISTER, PluginSpec, hookspec
from treenail.plugin import Plugin, hookimpl
from treenail.testing import Client
from treenail.testing.callers import make_person, make_tenant
from treenail.web import endpoint, permission, public


def plugin(name: str, **members: Any) -> type[Plugin]:
    return type(name, (Plugin,), {"name": name, "version": "1.0", **members})


def contribute(name: str) -> dict[str, Any]:
    """One of everything, named for the plugin."""
    blueprint = Blueprint(name, __name__)
    blueprint.get(f"/{name}")(endpoint(public)(lambda: {"from": name}))
    kind = ResourceType(f"{name}_thing", {"owner": frozenset({f"{name}_thing:read"})})
    return {
        "blueprints": [blueprint],
        "resource_types": [kind],
        "event_types": [EventType(f"{name}.done", Schema, "Done.", {})],
        "subscriptions": [Subscription("look", (f"{name}.*",), print)],
        "periodic_tasks": [PeriodicTask("tick", 60, print)],
        "commands": [click.Command(name)],
        "health_checks": [HealthCheck(name, lambda: None)],
        "recorders": [],  # that is for one plugin alone: test_recording.py
    }


def whole(name: str, **members: Any) -> type[Plugin]:
    """A plugin that contributes one of everything, and a rule."""
    given = contribute(name)
    hooks: dict[str, Any] = {kind: hookimpl(_giving(kind, given[kind])) for kind in REGISTER}
    hooks["rules"] = hookimpl(_rules)
    return plugin(name, **(hooks | members))


def _giving(name: str, items: list[Any]) -> Any:
    def hook(self: Plugin) -> list[Any]:
        return items

    hook.__name__ = name
    return hook


def _rules(self: Plugin, principal: Any, permission: str, resource_type: Any) -> list[Rule]:
    return [Rule("allow", true(), "everybody")]


def raising(name: str) -> Any:
    """A hook implementation that raises, with the arguments its hook has."""
    names = inspect.signature(getattr(PluginSpec, name)).parameters
    made: dict[str, Any] = {}
    exec(f"def {name}({', '.join(names)}): raise RuntimeError('worm in the {name}')", made)
    return hookimpl(made[name])


def one_line(error: pytest.ExceptionInfo[ConfigurationError]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


def test_plugins_load_after_what_they_require_and_otherwise_by_name(build):
    app = build(
        plugin("zebrano", requires=("oak",)),
        plugin("ash", optional=("zebrano", "absent")),
        plugin("oak"),
        plugin("elm", requires=("core",)),
    )
    assert list(app.extensions["treenail"].registry.plugins) == [
        "core", "elm", "injected", "oak", "zebrano", "ash",
    ]  # fmt: skip


def test_hooks_are_called_in_dependency_order(build):
    called: list[str] = []

    def step(self: Plugin, provisioning: Any) -> None:
        called.append(self.name)

    step.__name__ = "provision_tenant"
    hook = {"provision_tenant": hookimpl(step)}
    app = build(plugin("ash", requires=("oak",), **hook), plugin("oak", **hook))
    make_tenant(app)
    assert called == ["oak", "ash"]


def test_a_circle_is_named_whole(build):
    with pytest.raises(ConfigurationError, match=r"ash → oak → ash|oak → ash → oak"):
        build(plugin("ash", requires=("oak",)), plugin("oak", requires=("ash",)))


def test_a_missing_requirement_names_both_ends(build):
    with pytest.raises(ConfigurationError, match=r"plugin ash .* requires oak, which is not enabl"):
        build(plugin("ash", requires=("oak",)))


def test_an_unknown_plugin_is_named(build):
    with pytest.raises(ConfigurationError, match=r"oak failed .*enabled but not installed"):
        build(plugins="oak")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"version": None}, "has no version"),
        ({"core": ">=7"}, "needs treenail-core >=7"),
        ({"core": "new"}, "Invalid specifier"),
    ],
)
def test_a_wrong_manifest_is_refused(build, members: dict[str, Any], message: str):
    with pytest.raises(ConfigurationError, match=message):
        build(plugin("oak", **members))


def test_nobody_may_be_called_core(build):
    with pytest.raises(ConfigurationError, match="core failed"):
        build(plugin("core"))


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Install a distribution ``wormy`` with this source."""

    def write(source: str) -> str:
        info = tmp_path / "site" / "wormy-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: wormy\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[treenail.plugins]\nwormy = wormy:Wormy\n")
        (tmp_path / "site" / "wormy.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path / "site")
        monkeypatch.delitem(sys.modules, "wormy", raising=False)
        return "wormy"

    return write


@pytest.fixture
def wormy(install) -> str:
    """An installed plugin that raises on import."""
    return install("raise RuntimeError('worm in the import')")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("class Wormy: pass", "does not name a treenail.plugin.Plugin"),
        ("from treenail.core import Core as Wormy", "its class is named 'core'"),
        ("Worm = 1", "module 'wormy' has no attribute 'Wormy'"),
    ],
)
def test_an_entry_point_to_something_else_is_refused(build, install, source: str, message: str):
    with pytest.raises(ConfigurationError, match=message):
        build(plugins=install(source))


def test_an_installed_plugin_is_discovered_but_not_imported(build, wormy: str):
    app = build()
    assert wormy in registry.discover()
    assert wormy in app.extensions["treenail"].registry.installed


def test_a_plugin_that_raises_on_import_stops_the_start(build, wormy: str):
    with pytest.raises(ConfigurationError) as error:
        build(plugins=wormy)
    assert one_line(error) == "plugin wormy failed (import): worm in the import"


def test_a_plugin_that_raises_on_import_can_be_skipped(build, wormy: str):
    app = build(plugin("fine"), plugins=f"{wormy},fine", on_plugin_error="skip")
    assert list(app.extensions["treenail"].registry.plugins) == ["core", "fine"]


STAGES = ["__init__", *REGISTER]


def broken(stage: str) -> type[Plugin]:
    """A plugin that contributes one of everything but fails in one place."""
    if stage == "__init__":

        def init(self: Plugin, settings: Any) -> None:
            raise RuntimeError("worm in the __init__")

        return whole("broken", __init__=init)
    return whole("broken", **{stage: raising(stage)})


@pytest.mark.parametrize("stage", STAGES)
def test_a_failing_plugin_stops_the_start(build, stage: str):
    with pytest.raises(ConfigurationError) as error:
        build(broken(stage))
    assert one_line(error) == f"plugin broken failed (register): worm in the {stage}"


@pytest.mark.parametrize("stage", STAGES)
def test_a_skipped_plugin_takes_its_dependents_and_nobody_else(build, stage: str):
    app = build(
        broken(stage),
        whole("leaning", requires=("broken",)),
        whole("fine"),
        on_plugin_error="skip",
    )
    loaded = app.extensions["treenail"].registry
    assert list(loaded.plugins) == ["core", "fine", "injected"]
    assert [f.plugin for f in loaded.failures] == ["broken", "leaning"]
    assert Client(app).get("/fine").json == {"from": "fine"}
    answer = Client(app).get("//readyz")
    assert (answer.status, answer.json["status"]) == (200, "degraded")


@pytest.mark.parametrize("stage", STAGES)
def test_a_skipped_plugin_leaves_nothing_behind(build, stage: str):
    app = build(broken(stage), on_plugin_error="skip")
    platform = app.extensions["treenail"]
    assert Client(app).get("/broken").status == 404
    assert "broken_thing" not in platform.resource_types
    assert "broken.done" not in platform.event_types
    assert "broken.look" not in platform.subscriptions
    assert platform.registry.all("commands") == []
    left = platform.registry.hooks.hook.rules.get_hookimpls()
    assert [impl.plugin_name for impl in left] == ["core"]


def test_the_core_itself_is_never_skipped(build, tmp_path):
    with pytest.raises(ConfigurationError, match="run treenail db upgrade"):
        build(on_plugin_error="skip", database_url=f"sqlite:///{tmp_path}/nothing-here.db")


def _hook(name: str, *arguments: str, **options: Any) -> Any:
    made: dict[str, Any] = {}
    exec(f"def {name}(self, {', '.join(arguments)}): return []", made)
    return hookimpl(made[name], **options) if options else hookimpl(made[name])


def _wrapping() -> Any:
    def rules(self: Plugin) -> Any:
        return (yield)

    return hookimpl(wrapper=True)(rules)


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "a misspelt hook": ({"blueprint": _hook("blueprint")}, "there is no hook blueprint"),
    "a forgotten mark": (
        {"rules": lambda self, principal, permission, resource_type: ()},
        "rules overrides a hook but is not marked @hookimpl",
    ),
    "an unknown argument": (
        {"rules": _hook("rules", "principal", "weather")},
        "Argument\\(s\\) {'weather'} are declared in the hookimpl",
    ),
    "a defaulted argument": (
        {"rules": _hook("rules", "principal", "permission='x'")},
        "rules would never be given permission",
    ),
    "a keyword-only argument": (
        {"rules": _hook("rules", "*", "principal")},
        "rules would never be given principal",
    ),
    "a wrapper": ({"rules": _wrapping()}, "rules is a wrapper"),
    "a thing of the wrong kind": (
        {"event_types": hookimpl(_giving("event_types", ["oak.done"]))},
        "event_types gave a str",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_hook_stops_the_start(build, mistake: str):
    members, message = MISTAKES[mistake]
    with pytest.raises(ConfigurationError, match=message):
        build(plugin("oak", **members))
    app = build(plugin("oak", **members), on_plugin_error="skip")
    assert list(app.extensions["treenail"].registry.plugins) == ["core", "injected"]


def test_a_neighbours_hook_is_optional(build):
    class Spec:
        @hookspec
        def grain(self, length: int) -> int:
            """How the grain runs."""

    def grain(self: Plugin, length: int) -> int:
        return length * 2

    hook = {"grain": hookimpl(optionalhook=True)(grain)}
    alone = build(plugin("ash", optional=("oak",), **hook))
    assert "ash" in alone.extensions["treenail"].registry.plugins
    app = build(plugin("ash", optional=("oak",), **hook), plugin("oak", hookspecs=Spec))
    found = app.extensions["treenail"].registry.implementations("grain")
    assert [(name, call(length=4)) for name, call in found] == [("ash", 8)]


@pytest.mark.parametrize("name", [n for n in vars(PluginSpec) if not n.startswith("_")])
def test_every_argument_of_our_hooks_is_really_passed(name: str):
    for argument in inspect.signature(getattr(PluginSpec, name)).parameters.values():
        assert argument.default is argument.empty
        assert argument.kind is argument.POSITIONAL_OR_KEYWORD


def _blueprint(name: str = "oak", **routes: Any) -> Blueprint:
    made = Blueprint(name, __name__)
    for rule, view in routes.items():
        made.add_url_rule(f"/{rule}/<id:oak_id>", rule, view)
    return made


def _reaching(kind: str) -> Blueprint:
    made = Blueprint("oak", __name__)
    if kind == "app_errorhandler":
        made.app_errorhandler(404)(lambda error: error)
    else:
        getattr(made, kind)(lambda *_: None)
    return made


def _twice(kind: str, item: Any) -> dict[str, Any]:
    return {kind: hookimpl(_giving(kind, [item, item]))}


def _mounting(blueprint: Blueprint) -> dict[str, Any]:
    return {"blueprints": hookimpl(_giving("blueprints", [blueprint]))}


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "no access": (_mounting(_blueprint(bare=lambda oak_id: {})), "oak_id> declares no access"),
    "an unknown permission": (
        _mounting(_blueprint(x=endpoint(permission("oak:fell"))(print))),
        "asks for oak:fell, which nobody declares",
    ),
    "an unknown view argument": (
        _mounting(_blueprint(x=endpoint(permission("tenant:read", of="tenant_id"))(print))),
        "has no argument tenant_id",
    ),
    "a foreign name": (_mounting(_blueprint("elm")), "elm of oak isn't named for it"),
    "a name that only begins like its own": (
        _mounting(_blueprint("oaken")),
        "oaken of oak isn't named for it",
    ),
    **{
        kind: (_mounting(_reaching(kind)), "reaches every request")
        for kind in (
            "before_app_request",
            "after_app_request",
            "teardown_app_request",
            "app_url_value_preprocessor",
            "app_url_defaults",
            "app_errorhandler",
        )
    },
    "two event types": (
        _twice("event_types", EventType("oak.felled", Schema, "", {})),
        "two plugins bring the event type oak.felled",
    ),
    "two resource types": (
        _twice("resource_types", ResourceType("oak", {})),
        "two plugins bring the resource type oak",
    ),
    "two subscriptions": (
        _twice("subscriptions", Subscription("look", ("*",), print)),
        "subscriptions look",
    ),
    "two periodic tasks": (
        _twice("periodic_tasks", PeriodicTask("tick", 1, print)),
        "periodic_tasks tick",
    ),
    "an unknown parent": (
        {
            "resource_types": hookimpl(
                _giving("resource_types", [ResourceType("oak", {}, parent=Parent("forest"))])
            )
        },
        "oak lies in an unknown forest",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_what_is_contributed_stops_the_start(build, fault: str):
    members, message = FAULTS[fault]
    with pytest.raises(ConfigurationError, match=message) as error:
        build(plugin("oak", **members))
    one_line(error)


def test_a_blueprint_keeps_its_own_prefix(build):
    blueprint = Blueprint("oak", __name__, url_prefix="/oaks")
    blueprint.get("/old")(endpoint(public)(lambda: {}))
    app = build(plugin("oak", **_mounting(blueprint)))
    assert Client(app).get("/oaks/old").status == 200


def test_an_authenticate_that_breaks_denies(build, capfd):
    app = build(plugin("ajar", authenticate=raising("authenticate")))
    answer = Client(app).get("/me")
    assert (answer.status, answer.code) == (401, "unauthenticated")
    assert '"plugin": "ajar"' in capfd.readouterr().err


def test_a_refused_credential_does_not_fall_through(build):
    def believe(self: Plugin, request: Any) -> None:
        raise AssertionError("asked after a refusal")

    believe.__name__ = "authenticate"
    app = build(plugin("trusting", authenticate=hookimpl(believe)))
    assert Client(app, {"Authorization": "Test nonsense"}).get("/me").status == 401


def test_a_rule_that_breaks_denies(build, capfd):
    app = build(plugin("ajar", rules=raising("rules")))
    tenant = make_tenant(app)
    answer = tenant.owner.get(f"/tenants/{tenant.id}")
    assert answer.status == 404
    assert '"plugin": "ajar"' in capfd.readouterr().err


def test_a_failing_provisioning_step_is_named_and_leaves_no_tenant(build):
    app = build(plugin("ajar", provision_tenant=raising("provision_tenant")))
    ann = make_person(app)
    answer = ann.post("/tenants", {"name": "Birch"})
    assert (answer.status, answer.code, answer.json["plugin"]) == (
        500,
        "provisioning_failed",
        "ajar",
    )
    assert ann.get("/tenants").json["items"] == []


def test_a_failing_health_check_degrades(build):
    def fall() -> None:
        raise RuntimeError("worm in the beam")

    checks = hookimpl(_giving("health_checks", [HealthCheck("beam", fall)]))
    answer = Client(build(plugin("oak", health_checks=checks))).get("//readyz")
    assert (answer.status, answer.json["status"]) == (200, "degraded")
    assert answer.json["failures"] == ["beam: worm in the beam"]


MODELS = {
    "neither": (
        "class Oak(Identified, Model): __tablename__ = 'oak_trees'",
        "model Oak is neither Tenanted nor Global",
    ),
    "escaping": (
        "class Oak(Identified, Tenanted, Model):\n"
        "    __tablename__ = 'oak_trees'\n"
        "    member_id: Mapped[str] = mapped_column(ForeignKey('core_memberships.id'))",
        "foreign key oak_trees(member_id) doesn't carry the tenant",
    ),
    "broken": (
        "class Oak(Identified, Global, Model):\n"
        "    __tablename__ = 'oak_trees'\n"
        "    crown: Mapped['Crown'] = relationship()",
        "models:",
    ),
}


def test_a_reference_to_a_plugin_that_is_not_loaded_stops_nobody(tmp_path: Path):
    source = (
        "class Oak(Identified, Tenanted, Model):\n"
        "    __tablename__ = 'oak_trees'\n"
        "    __table_args__ = (tenant_foreign_key('forest_id', 'forest_forests'),)\n"
        "    forest_id: Mapped[str] = mapped_column(uuid_type())"
    )
    assert _start_with(source, tmp_path).stderr == ""


@pytest.mark.parametrize("fault", MODELS)
def test_a_faulty_model_stops_the_start(tmp_path: Path, fault: str):
    source, message = MODELS[fault]
    assert f"ConfigurationError: {message}" in _start_with(source, tmp_path).stderr


def _start_with(source: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    script = "\n".join(
        [
            "from sqlalchemy import ForeignKey",
            "from sqlalchemy.orm import Mapped, mapped_column, relationship",
            "from treenail.app import create_app",
            "from treenail.db import *",
            source,
            f"create_app({{'TREENAIL_DATA': {str(tmp_path)!r}, 'TREENAIL_PLUGINS': ''}},",
            "           check_database=False)",
        ]
    )
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
