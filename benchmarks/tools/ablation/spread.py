"""Losses over seeds: mean, spread, and whether one arm of a comparison differs from another by more than that."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

Losses = Mapping[str, Mapping[str, float]]
"""The losses of one training: language → `nats` a token and `bits` a byte."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Losses over seeds.

    Attributes:
        mean: of the losses.
        deviation: standard deviation of the sample (n - 1); 0 for a single loss.
        low: the least loss.
        high: the greatest loss.
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
        """Whether these losses are lower or higher than others, or the ranges overlap; single losses have no range.

        With three seeds each, the ranges of two arms that do not differ are apart by chance in one case of ten.
        """
        if self.low == self.high and before.low == before.high:
            return "one seed only"
        if self.low <= before.high and before.low <= self.high:
            return "within the spread"
        return "lower" if self.mean < before.mean else "higher"


def compared(before: Sequence[float], after: Sequence[float]) -> str:
    """The difference of two arms, seed by seed (same initial weights), and whether their ranges overlap."""
    found = Spread.of([b - a for a, b in zip(before, after, strict=True)])
    return f"{found.mean:+.3f} ± {found.deviation:.3f}, {Spread.of(after).against(Spread.of(before))}"


def loss_cells(arms: Mapping[str, Sequence[Losses]], lang: str) -> Iterator[tuple[str, list[str]]]:
    """The cells of each arm in a table: nats a token, their range, bits a byte, the difference to the arm before.

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
