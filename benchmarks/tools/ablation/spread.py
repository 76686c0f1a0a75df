"""Losses over seeds: mean, spread, and whether one arm of a comparison differs from another by more than that."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

Losses = Mapping[str, Mapping[str, float]]
"""Of one training: language → `nats` a token and `bits` a byte."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Losses over seeds.

    Attributes:
        mean: of them.
        deviation: the standard deviation of the sample (n - 1); 0 of a single one.
        low: the least.
        high: the greatest.
    """

    mean: float
    deviation: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of some losses."""
        deviation = statistics.stdev(values) if len(values) > 1 else 0.0
        return cls(statistics.fmean(values), deviation, min(values), max(values))

    @property
    def text(self) -> str:
        """Mean and deviation."""
        return f"{self.mean:.3f} ± {self.deviation:.3f}"

    def against(self, before: Spread) -> str:
        """Whether losses are lower or higher than others, or the ranges touch; single losses have none.

        Of two arms that do not differ, three seeds each, one pair in ten has ranges apart by chance.
        """
        if self.low == self.high and before.low == before.high:
            return "one seed only"
        if self.low <= before.high and before.low <= self.high:
            return "within the spread"
        return "lower" if self.mean < before.mean else "higher"


def compared(before: Sequence[float], after: Sequence[float]) -> str:
    """The difference of two arms, seed by seed (same initial weights), and whether their ranges touch."""
    found = Spread.of([b - a for a, b in zip(before, after, strict=True)])
    return f"{found.mean:+.3f} ± {found.deviation:.3f}, {Spread.of(after).against(Spread.of(before))}"


def loss_cells(arms: Mapping[str, Sequence[Losses]], lang: str) -> Iterator[tuple[str, list[str]]]:
    """The row of each arm in a table of losses: nats a token, their range, bits a byte, less the arm before.

    Args:
        arms: arm → the losses of its trainings, seed by seed.
        lang: the language.
    """
    before: list[float] = []
    for name, losses in arms.items():
        values, bits = ([loss[lang][unit] for loss in losses] for unit in ("nats", "bits"))
        nats, beside = Spread.of(values), compared(before, values) if before else ""
        yield name, [nats.text, f"{nats.low:.3f} to {nats.high:.3f}", Spread.of(bits).text, beside]
        before = values
