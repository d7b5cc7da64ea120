"""The desk: what one worker has claimed and not yet recorded, in lanes, one for each target.

Plain memory, and no locks: whoever asks holds the engine's.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic

from treenail.contributions import Subscription
from treenail.deliveries.claims import Claim, Outcome, lane

LEAST, MOST = 32, 256
QUICK, SLOW = 0.2, 0.5
"""Seconds a batch takes: below the one the next is larger, above the other it is smaller."""
UNRECORDED = 0.05
"""Seconds from the beginning of a try to when its outcome wants recording."""


@dataclass
class Lane:
    """One target: the claims that wait, how many are being tried, and at most how many."""

    limit: int
    waiting: deque[Claim] = field(default_factory=deque)
    running: int = 0


class Desk:
    """The claims of one worker, taken in turns from all lanes."""

    def __init__(self, subscriptions: Mapping[str, Subscription], threads: int) -> None:
        self._subscriptions = subscriptions
        self._share = max(1, threads // 4)  # so that four targets must hang to hold them all
        self._lanes: dict[str, Lane] = {}
        self._running: set[Claim] = set()
        self._outcomes: list[Outcome] = []
        self._oldest = float("inf")
        self._batch = LEAST
        self._filled = 0.0

    def add(self, claims: Iterable[Claim]) -> None:
        """Lay new claims on it."""
        self._filled = monotonic()
        for claim in claims:
            limit = max(1, min(claim.policy.concurrency, self._share))
            found = self._lanes.setdefault(lane(claim), Lane(limit))
            found.limit = limit
            found.waiting.append(claim)

    def room(self) -> int:
        """How many more to claim: as many as were begun in a fraction of a second."""
        waiting = sum(len(lane.waiting) for lane in self._lanes.values())
        if not waiting and self._filled:
            took = monotonic() - self._filled
            if took < QUICK:
                self._batch = min(MOST, self._batch * 2)
            elif took > SLOW:
                self._batch = max(LEAST, self._batch // 2)
        return self._batch - waiting

    def busy(self) -> list[str]:
        """The lanes that need no more: they have some waiting, or as many running as may be."""
        return [n for n, lane in self._lanes.items() if lane.waiting or lane.running >= lane.limit]

    def take(self) -> list[Claim]:
        """The next lane's next claims, to be tried now; none if no lane is free."""
        for name, found in self._lanes.items():
            if found.waiting and found.running < found.limit:
                self._lanes[name] = self._lanes.pop(name)  # to the end of the round
                found.running += 1
                claims = self._head(found)
                self._running.update(claims)
                for claim in claims:
                    claim.begun = monotonic()
                return claims
        return []

    def _head(self, found: Lane) -> list[Claim]:
        """One claim; with it, where they may share, those of the same tenant.

        Not what was tried before: it would spoil the batch again.
        """
        first = found.waiting.popleft()
        if self._subscriptions[first.subscription].batch_handler is None or first.attempt > 1:
            return [first]
        tenant, waiting, together = first.event.tenant_id, list(found.waiting), [first]
        found.waiting.clear()
        for claim in waiting:
            fits = claim.event.tenant_id == tenant and claim.attempt == 1
            (together if fits else found.waiting).append(claim)
        return together

    def finish(self, claims: Sequence[Claim], outcomes: Iterable[Outcome]) -> None:
        """The claims were tried; what came of it waits to be recorded."""
        name = lane(claims[0])
        self._lanes[name].running -= 1
        if not self._lanes[name].running and not self._lanes[name].waiting:
            del self._lanes[name]
        self._running.difference_update(claims)
        self.restore(outcomes)

    def restore(self, outcomes: Iterable[Outcome]) -> None:
        """Outcomes that wait to be recorded."""
        self._outcomes.extend(outcomes)
        self._oldest = min((o.claim.begun for o in self._outcomes), default=float("inf"))

    def has_outcomes(self) -> bool:
        """Whether any outcome waits to be recorded."""
        return bool(self._outcomes)

    def collect(self) -> list[Outcome]:
        """The outcomes that wait to be recorded, which are then the caller's."""
        found, self._outcomes, self._oldest = self._outcomes, [], float("inf")
        return found

    def wants_recording(self) -> bool:
        """Whether an outcome has waited long enough: a killed worker's are tried again."""
        return monotonic() - self._oldest > UNRECORDED

    def overdue(self) -> list[Claim]:
        """Claims whose try takes longer than it may; they are no more on the desk."""
        now = monotonic()
        found = [claim for claim in self._running if now - claim.begun > claim.policy.lease]
        self._running.difference_update(found)
        return found

    def unbegun(self, longer_than: float) -> list[Claim]:
        """Claims that have waited too long for their turn; they are no more on the desk."""
        now, found = monotonic(), []
        for lane_ in self._lanes.values():
            old = [claim for claim in lane_.waiting if now - claim.taken >= longer_than]
            lane_.waiting = deque(claim for claim in lane_.waiting if claim not in old)
            found.extend(old)
        return found

    def held(self, longer_than: float) -> list[Claim]:
        """All claims, taken so many seconds ago, that another worker must not have."""
        waiting = [claim for lane in self._lanes.values() for claim in lane.waiting]
        claims = (*self._running, *waiting, *(outcome.claim for outcome in self._outcomes))
        return [claim for claim in claims if monotonic() - claim.taken > longer_than]
