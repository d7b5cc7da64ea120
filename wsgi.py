"""The WSGI application, for ``gunicorn wsgi:app``; ``treenail serve`` needs no such file.

Served this way it does no background work: run ``treenail worker`` beside it.
"""

from treenail.app import create_app

app = create_app()
