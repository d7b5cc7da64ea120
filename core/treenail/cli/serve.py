"""``treenail serve`` and ``worker``: the processes of a deployment."""

import gc
import json
import os
import signal
import sys
import threading
from typing import Any

import click
from flask import Flask, current_app
from flask.cli import with_appcontext
from gunicorn.app.base import BaseApplication

from treenail.web import openapi as description


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, envvar="PORT", help="Port to listen on.")
@click.option("--migrate", is_flag=True, help="Bring the tables up to date first.")
def serve(host: str, port: int, migrate: bool) -> None:
    """Answer HTTP and WebSockets; with TREENAIL_WORKER=inside, do the background work too."""
    if migrate:
        _migrate()
    from treenail.app import create_app

    server = Server(create_app(), f"{host}:{port}")
    click.echo(f"Treenail serves http://{host}:{port}/api/v1, to browse /api/v1/docs", err=True)
    server.run()


@click.command()
@click.option("--threads", default=16, show_default=True, help="Deliveries at a time.")
def worker(threads: int) -> None:
    """Do the background work of a deployment whose servers have TREENAIL_WORKER=apart."""
    from treenail.app import create_app
    from treenail.tasks import Worker

    running = Worker(create_app(), threads)
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    running.start()
    click.echo("worker is running", err=True)
    done.wait()
    running.stop()


@click.command()
@with_appcontext
def openapi() -> None:
    """Print the API's description (OpenAPI 3.1)."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    json.dump(description.document(app, app.extensions["treenail"].registry.version), sys.stdout)


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn with one process and threads; live documents bring a thread of their own."""

    def __init__(self, app: Flask, address: str) -> None:
        self.application = app
        self.address = address
        super().__init__()

    def load_config(self) -> None:
        """gunicorn's settings."""
        settings = self.application.extensions["treenail"].settings
        values: dict[str, Any] = {
            "bind": self.address,
            "worker_class": "gthread",
            "workers": 1,
            "threads": settings.threads,
            "graceful_timeout": 10,
            "keepalive": 30,
            "preload_app": True,
            "post_worker_init": lambda worker: _start(self.application),
            "worker_exit": lambda server, worker: _stop(self.application),
            "forwarded_allow_ips": "",  # which proxies are believed, TRUSTED_PROXIES says alone
            "control_socket_disable": True,
            "loglevel": "warning",
            "worker_tmp_dir": "/dev/shm" if os.path.isdir("/dev/shm") else None,  # noqa: S108
        }
        for key, value in values.items():
            if key in self.cfg.settings:
                self.cfg.set(key, value)

    def load(self) -> Flask:
        """The application."""
        return self.application


def _start(app: Flask) -> None:
    # Live documents share the interpreter with HTTP: a long request must not hold it for the
    # usual 5 ms at a time (measured: 43 → 12 ms at the 95th percentile).
    sys.setswitchinterval(0.0005)
    # What the start has made stays for ever; looking through it again and again took a third
    # of the time of a busy document.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    # Threads don't survive a fork: whatever has some begins here.
    if app.extensions["treenail"].settings.worker == "inside":
        from treenail.tasks import Worker

        # Without Redis there is no other process whose hints could not wait for the sweep.
        listening = bool(app.extensions["treenail"].settings.redis_url)
        app.extensions["treenail.worker"] = Worker(app, listening=listening)
        app.extensions["treenail.worker"].start()


def _stop(app: Flask) -> None:
    for close in app.extensions.get("treenail.closing", ()):
        close()
    if running := app.extensions.get("treenail.worker"):
        running.stop()


def _migrate() -> None:
    from treenail import migrate as migrations
    from treenail.app import create_app
    from treenail.db import db

    app = create_app(check_database=False)
    with app.app_context():
        registry = app.extensions["treenail"].registry
        for name in migrations.upgrade(registry):
            click.echo(f"{name} is up to date", err=True)
        db.engine.dispose()
