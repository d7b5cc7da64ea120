"""The WSGI application, for ``gunicorn wsgi:app``; ``treenail serve`` needs no such file."""

from treenail.app import create_app

app = create_app()
