"""What a plugin is: a manifest of class attributes, and hook implementations."""

import sys
from pathlib import Path
from typing import ClassVar

from treenail.hookspecs import PluginSpec, hookimpl
from treenail.settings import Section

__all__ = ["Plugin", "hookimpl"]


class Plugin(PluginSpec):
    """Base of every plugin, ours and a stranger's.

    ::

        class Greetings(Plugin):
            name = "greetings"
            version = "1.0"
            requires = ("workspaces",)

            @hookimpl
            def blueprints(self) -> list[Blueprint]:
                return [routes.blueprint]

    It is named by an entry point of the group ``treenail.plugins``, under its ``name``. Its
    tables and its blueprints begin with that name.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    requires: ClassVar[tuple[str, ...]] = ()
    """Plugins it can't be without; it loads after them and may refer to their tables."""
    optional: ClassVar[tuple[str, ...]] = ()
    """Plugins it works with when they are there; it loads after them."""
    core: ClassVar[str] = ">=0.1"
    """The versions of the core it fits (a PEP 440 specifier)."""
    settings_class: ClassVar[type[Section]] = Section
    """Its settings, ``TREENAIL_<NAME>_<KEY>``."""
    hookspecs: ClassVar[type | None] = None
    """A class of hook specs of its own, which later plugins may implement."""

    def __init__(self, settings: Section) -> None:
        self.settings = settings

    @classmethod
    def migrations(cls) -> Path | None:
        """The folder of its revisions, beside its module; None when it has no tables."""
        return cls._beside("migrations")

    @classmethod
    def mail_templates(cls) -> Path | None:
        """The folder of its mail templates, ``templates/mail``; None when it has none."""
        return cls._beside("templates/mail")

    @classmethod
    def _beside(cls, name: str) -> Path | None:
        file = getattr(sys.modules[cls.__module__], "__file__", None)  # a notebook has none
        folder = Path(file).parent / name if file else None
        return folder if folder and folder.is_dir() else None
