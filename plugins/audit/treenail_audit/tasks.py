"""What is done every second, while there is anything to do."""

from treenail.contributions import PeriodicTask

from treenail_audit import inbox, sealer


def periodic_tasks() -> list[PeriodicTask]:
    """Sealing and anchoring."""
    return [PeriodicTask("seal", 1, sealer.seal_all, wanted=inbox.has_work)]
