"""What Treenail is to reach beside each peer; a ratio is the median of the rounds' ratios."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from load import Measurement


@dataclass(frozen=True)
class Target:
    """A bound on one figure of Treenail's, as a multiple of a peer's or by itself."""

    task: str
    metric: str
    peer: str | None
    bound: float
    at_least: bool = False


@dataclass(frozen=True)
class Outcome:
    """A bound, and what was found."""

    label: str
    bound: float
    found: float
    at_least: bool

    @property
    def met(self) -> bool:
        """Whether the figure is within its bound."""
        return self.found >= self.bound if self.at_least else self.found <= self.bound

    @property
    def wanted(self) -> str:
        """The bound as it is read."""
        return f"{'≥' if self.at_least else '≤'} {self.bound:g}"


TARGETS = (
    Target("read", "cpu", "bare", 2.2),
    Target("read", "cpu", "drf", 0.4),
    Target("list", "rps", "pocketbase", 1.2, at_least=True),
    Target("create", "rps", "pocketbase", 0.8, at_least=True),
    Target("read", "rps", "directus", 5.0, at_least=True),
    Target("read", "p99", None, 20.0),
)


def judge(rounds: Sequence[Mapping[tuple[str, str], Measurement]]) -> list[Outcome]:
    """Every target whose two sides were measured."""
    found = []
    for target in TARGETS:
        own, other = ("treenail", target.task), (target.peer or "treenail", target.task)
        if own in rounds[0] and other in rounds[0]:
            against = f"÷ {target.peer}" if target.peer else "ms"
            value = median(
                getattr(one[own], target.metric)
                / (getattr(one[other], target.metric) if target.peer else 1)
                for one in rounds
            )
            label = f"{target.task} {target.metric} {against}"
            found.append(Outcome(label, target.bound, value, target.at_least))
    return found
