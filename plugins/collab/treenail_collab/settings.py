"""What an integrator can tell collab: ``TREENAIL_COLLAB_<KEY>``."""

from dataclasses import dataclass

from marshmallow import fields, validate
from treenail.settings import Section, setting

from treenail_collab.live.interfaces import Limits

MIB = 1 << 20
_positive = validate.Range(1)


@dataclass(frozen=True)
class CollabSettings(Section):
    """Limits of live documents."""

    message_bytes: int = setting(
        fields.Int(validate=_positive), 16 * MIB, "longest message taken from a client"
    )
    document_bytes: int = setting(
        fields.Int(validate=_positive), 64 * MIB, "largest document, compacted"
    )
    queue_bytes: int = setting(
        fields.Int(validate=_positive), MIB, "what may wait for a slow reader"
    )
    stall_seconds: float = setting(
        fields.Float(validate=_positive), 30.0, "after which a reader that stands still is closed"
    )
    recheck_seconds: float = setting(
        fields.Float(validate=validate.Range(0.05, 1)), 0.4, "how soon a revocation acts"
    )
    compact_rows: int = setting(
        fields.Int(validate=_positive), 5000, "updates after which a log is folded up"
    )

    def limits(self) -> Limits:
        """The limits as the hub takes them."""
        return Limits(
            message_bytes=self.message_bytes,
            document_bytes=self.document_bytes,
            queue_bytes=self.queue_bytes,
            stall_seconds=self.stall_seconds,
        )
