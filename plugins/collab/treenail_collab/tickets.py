"""Collab tokens: signed, short-lived, for one document and one session."""

from dataclasses import dataclass

from treenail import platform
from treenail.crypto import BadToken, sign, unsign
from treenail.principal import Principal

PURPOSE = "collab"
LIFETIME = 600


@dataclass(frozen=True)
class Ticket:
    """What a token says."""

    user_id: str
    session_id: str
    tenant_id: str
    document_id: str


def issue(principal: Principal, document_id: str) -> str:
    """A token for whoever may read the document; what they may do is asked at every socket."""
    content = {
        "user": principal.user_id,
        "session": principal.session_id,
        "tenant": principal.tenant_id,
        "document": document_id,
    }
    return sign(platform.current().settings.secret_key, PURPOSE, content)


def read(token: str) -> Ticket:
    """The ticket a token is; raises `treenail.crypto.BadToken`."""
    content = unsign(platform.current().settings.secret_key, PURPOSE, token, LIFETIME)
    try:
        return Ticket(content["user"], content["session"], content["tenant"], content["document"])
    except KeyError as error:
        raise BadToken(f"has no {error}") from None
