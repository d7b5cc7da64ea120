"""The words of messages: templates by name, which a later plugin or the integrator replaces.

A plugin keeps ``<name>.txt`` in ``templates/mail/`` beside its module, named for it like its
tables; the first line is ``Subject: …``. The HTML comes from ``<name>.html`` if there is one,
else the text's paragraphs are set into ``layout.html``. Looked for in the folder
``TREENAIL_MAIL_TEMPLATES``, then in the plugins from the last loaded to the core.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import (
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    StrictUndefined,
    select_autoescape,
)
from jinja2.exceptions import TemplateNotFound

SUBJECT = "Subject:"


@dataclass(frozen=True)
class Words:
    """A message's subject and its body, in both forms."""

    subject: str
    text: str
    html: str


def environment(folders: Iterable[Path]) -> Environment:
    """Templates of the folders; the first that has a name wins. HTML is escaped, text is not."""
    return Environment(
        loader=ChoiceLoader([FileSystemLoader(folder) for folder in folders]),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(templates: Environment, name: str, values: Mapping[str, Any]) -> Words:
    """The message; raises `jinja2.TemplateError`, or `ValueError` for one without subject."""
    head, _, text = templates.get_template(f"{name}.txt").render(values).partition("\n")
    if not head.startswith(SUBJECT):
        raise ValueError(f"{name}.txt doesn't begin with {SUBJECT}")
    subject, text = head.removeprefix(SUBJECT).strip(), text.strip() + "\n"
    try:
        page = templates.get_template(f"{name}.html")
    except TemplateNotFound as missing:
        if missing.name != f"{name}.html":
            raise
        page = templates.get_template("layout.html")
    return Words(subject, text, page.render({**values, "subject": subject, "text": text}))
