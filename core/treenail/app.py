"""The application factory: settings, plugins, database, faces, in this order."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import orjson
import structlog
from flask import Blueprint, Flask, Response
from flask.json.provider import JSONProvider
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import configure_mappers

from treenail import logs, metrics, migrate, registry, secrets, settings
from treenail.core import Core
from treenail.db import base, db, engines
from treenail.deliveries import backlog
from treenail.errors import ConfigurationError
from treenail.migrate import rls
from treenail.platform import Platform
from treenail.plugin import Plugin
from treenail.tasks import Hints
from treenail.web import cors, limits, openapi, platform_routes, problems, requests
from treenail.web.converters import IdConverter
from treenail.web.proxies import TrustedProxies

API = "/api/v1"
log = structlog.get_logger("treenail.app")


class OrjsonProvider(JSONProvider):
    """orjson instead of the standard library: lists are answered 1.8 times as fast."""

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        """Text of an object."""
        return orjson.dumps(obj).decode()

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        """Object of a text."""
        return orjson.loads(s)

    def response(self, *args: Any, **kwargs: Any) -> Any:
        """An answer, without the detour through text."""
        document = args[0] if len(args) == 1 else self._prepare_response_obj(args, kwargs)
        return Response(orjson.dumps(document), mimetype="application/json")


class Application(Flask):
    """Flask; which functions are coroutines is found out once, not on every request."""

    @cache  # noqa: B019  the application lives as long as the process
    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """The function, to be called as a plain one."""
        return super().ensure_sync(func)


def create_app(
    environ: Mapping[str, str] | None = None,
    plugins: Mapping[str, type[Plugin]] | None = None,
    *,
    check_database: bool = True,
) -> Flask:
    """A Treenail application, or a `ConfigurationError` that says in one line what is wrong.

    ``environ`` stands in for the process's environment; ``plugins`` are classes that no
    entry point names. Without ``check_database`` the tables may be out of date.
    """
    raw = settings.read(environ)
    loaded = registry.load(raw, Core, plugins)
    loaded.settings = secrets.complete(loaded.settings)
    logs.configure(loaded.settings.log_level)
    for failure in loaded.failures:
        log.error("plugin_left_out", plugin=failure.plugin, reason=str(failure))
    app = Application("treenail", static_folder=None)
    app.json = OrjsonProvider(app)
    app.config |= engines.configuration(loaded.settings)
    app.config["MAX_CONTENT_LENGTH"] = loaded.settings.max_body_bytes
    app.url_map.converters["id"] = IdConverter
    app.url_map.merge_slashes = False  # a redirect would be answered in HTML
    db.init_app(app)
    migrate.install(app)
    platform = Platform(loaded)
    app.extensions["treenail"] = platform
    app.extensions["treenail.keyring"] = platform.keyring
    with app.app_context():
        engines.prepare(db.engine, loaded.settings)
        try:
            migrate.check_scripts(loaded)
            if check_database:
                migrate.check(loaded)
                rls.check(db.engine, loaded.settings)
            _check_models()
            platform.validate()
        finally:
            db.engine.dispose()  # a connection must not be shared with a process forked later
    app.extensions["treenail.hints"] = Hints(app, loaded.settings)
    app.extensions[metrics.EXTENSION] = metrics.Metrics()
    about = "Events on their way to a subscriber."
    metrics.watch(app, "treenail_deliveries", about, "status", backlog.counts)
    about = "Seconds for which the oldest due delivery has waited."
    name = "treenail_deliveries_late_seconds"
    metrics.watch(app, name, about, "status", backlog.lateness)
    _mount(app, loaded)
    return app


def _mount(app: Flask, loaded: registry.Registry) -> None:
    app.wsgi_app = TrustedProxies(  # type: ignore[method-assign]
        app.wsgi_app, loaded.settings.trusted_proxies
    )
    requests.install(app)
    limits.install(app, loaded.settings)
    cors.install(app, loaded.settings.cors_origins)
    problems.install(app)
    app.register_blueprint(platform_routes.root)
    for name in loaded.plugins:
        for blueprint in loaded.contributions[name]["blueprints"]:
            if name != Core.name and not f"{blueprint.name}_".startswith(f"{name}_"):
                raise ConfigurationError(f"blueprint {blueprint.name} of {name} isn't named for it")
            _mount_blueprint(app, blueprint, name)
    for problem in openapi.wrong_declarations(app):
        raise ConfigurationError(problem)


def _mount_blueprint(app: Flask, blueprint: Blueprint, plugin: str) -> None:
    before = _reaching_all(app)
    try:
        app.register_blueprint(blueprint, url_prefix=API + (blueprint.url_prefix or ""))
    except Exception as error:
        raise ConfigurationError(f"blueprint {blueprint.name} of {plugin}: {error}") from error
    if _reaching_all(app) != before:
        raise ConfigurationError(f"blueprint {blueprint.name} reaches every request of the app")


def _reaching_all(app: Flask) -> list[int]:
    """How many functions act on every request, whichever blueprint answers it."""
    handlers = app.error_handler_spec[None].values()
    return [
        len(app.before_request_funcs[None]),
        len(app.after_request_funcs[None]),
        len(app.teardown_request_funcs[None]),
        len(app.url_value_preprocessors[None]),
        len(app.url_default_functions[None]),
        sum(len(handler) for handler in handlers),
    ]


def _check_models() -> None:
    try:
        configure_mappers()  # now, not at whatever first needs them
    except SQLAlchemyError as error:
        raise ConfigurationError(f"models: {error}") from error
    for model in base.unmarked_models():
        raise ConfigurationError(f"model {model.__name__} is neither Tenanted nor Global")
    for reference in base.escaping_references():
        raise ConfigurationError(f"foreign key {reference} doesn't carry the tenant")
