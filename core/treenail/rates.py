"""Rates: so many calls in so long."""

import re
from dataclasses import dataclass
from typing import Self

UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
WRITTEN = re.compile(rf"([1-9]\d{{0,8}})/({'|'.join(UNITS)})")


@dataclass(frozen=True)
class Rate:
    """So many calls per unit of time."""

    calls: int
    unit: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``600/minute`` (or second, hour, day); raises `ValueError` for anything else."""
        if not (found := WRITTEN.fullmatch(text)):
            raise ValueError(f"{text!r} is no rate such as 600/minute")
        return cls(int(found[1]), found[2])

    @property
    def seconds(self) -> int:
        """How long the unit is."""
        return UNITS[self.unit]

    def __str__(self) -> str:
        return f"{self.calls}/{self.unit}"
