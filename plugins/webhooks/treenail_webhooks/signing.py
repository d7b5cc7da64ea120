"""Secrets and signatures, in the two forms receivers know.

``X-Hub-Signature-256`` (GitHub's, WebSub section 8) covers the body alone, so a request could
be sent again by who has seen it; the headers of Standard Webhooks 1.0 cover id and time too.
"""

import base64
import hmac
import secrets
from collections.abc import Sequence
from hashlib import sha256

PREFIX = "whsec_"
SECRET_BYTES = 32


def new_secret() -> str:
    """A secret as Standard Webhooks writes them."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def headers(keys: Sequence[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """What proves a body's origin; ``keys`` are the valid secrets, the newest first.

    One header has room for one signature: the oldest secret's, which the receiver knows.
    ``timestamp`` is in seconds.
    """
    signed = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    return {
        "X-Hub-Signature-256": hub(keys[-1], body),
        "Webhook-Id": message_id,
        "Webhook-Timestamp": str(timestamp),
        "Webhook-Signature": " ".join(_standard(key, signed) for key in keys),
    }


def hub(key: str, body: bytes) -> str:
    """GitHub's form; the key is the secret as it is written."""
    return "sha256=" + hmac.new(key.encode(), body, sha256).hexdigest()


def _standard(key: str, signed: bytes) -> str:
    raw = base64.b64decode(key.removeprefix(PREFIX))
    return "v1," + base64.b64encode(hmac.new(raw, signed, sha256).digest()).decode()
