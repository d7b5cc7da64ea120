"""The hook that this plugin asks."""

from treenail.hookspecs import hookspec


class AuthSpec:
    """Implemented by plugins that load after auth, with ``@hookimpl(optionalhook=True)``."""

    @hookspec
    def is_invited(self, token: str, email: str) -> bool | None:
        """Whether the token invites this address; asked where ``REGISTRATION=invitation``.

        Looks without using the token up. None for one it doesn't know. What raises counts as
        no, and is logged.
        """
