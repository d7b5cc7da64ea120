"""What Flask's ``g`` and ``request`` stand for, for what every request does dozens of times.

Each use of a proxy takes 2 µs to look up what it stands for: a tenth of a read was that.
"""

from typing import Any

from flask import Flask, Request
from flask.globals import _cv_app, _cv_request


def app() -> Flask:
    """The present application."""
    return _cv_app.get().app


def kept() -> Any:
    """The present ``g``."""
    return _cv_app.get().g


def request() -> Request:
    """The present request."""
    return _cv_request.get().request
