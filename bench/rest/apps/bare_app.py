"""The floor: a Flask route with a small JSON answer, no database and no log-in."""

from typing import Any

from flask import Flask

app = Flask(__name__)
TEXT = ("measure twice, cut once; " * 12)[:300]


@app.get("/documents/<number>")
def show_document(number: str) -> dict[str, Any]:
    """A document of the size that every peer answers with."""
    return {
        "id": number,
        "tenant": "01890a5d-ac96-774b-bcce-b302099a8057",
        "title": f"Document {number}",
        "body": TEXT,
        "created": "2026-01-01T00:00:00Z",
        "updated": "2026-01-01T00:00:00Z",
    }
