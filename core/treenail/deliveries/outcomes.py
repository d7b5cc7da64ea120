"""What a handler can say of a try besides returning (done) and raising (try again)."""


class RetryAfter(Exception):
    """Try again, not before this many seconds."""

    def __init__(self, seconds: float, reason: str = "") -> None:
        super().__init__(reason or f"asked to wait {seconds:g} s")
        self.seconds = seconds


class Abandon(Exception):
    """No further try can succeed; the delivery is a dead letter now."""
