"""Identifiers: UUIDv7 (RFC 9562, section 5.7), as canonical lower-case strings."""

import os
import re
import threading
import time
from datetime import datetime

_CANONICAL = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_lock = threading.Lock()
_last = 0


def uuid7() -> str:
    """A new identifier, greater than any this process made before.

    48 bits of Unix milliseconds, then a 12-bit counter in ``rand_a`` (RFC 9562, section
    6.2, method 1), so that rows made within one millisecond sort as they were made.
    """
    global _last
    with _lock:
        now = time.time_ns() // 1_000_000 << 12
        _last = max(now, _last + 1)
        stamp = _last
    random = int.from_bytes(os.urandom(8), "big") & (1 << 62) - 1
    value = stamp >> 12 << 80 | 7 << 76 | (stamp & 0xFFF) << 64 | 2 << 62 | random
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def first_of(moment: datetime) -> str:
    """The least identifier that can be made at a moment, for comparing with others."""
    text = f"{int(moment.timestamp() * 1000):012x}"
    return f"{text[:8]}-{text[8:]}-7000-8000-000000000000"


def is_id(text: object) -> bool:
    """Whether the text is a UUID in its canonical form (two spellings would be two ids)."""
    return isinstance(text, str) and _CANONICAL.fullmatch(text) is not None
