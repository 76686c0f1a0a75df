"""The predicted band around a training loss, and an alarm when the run leaves it, after BlueLM's loss prediction.

    warm-up │ fitted: a · t^b + c in tokens t │ predicted: alarm if the smoothed loss stays outside │ fitted again …

After warm-up a power law is fitted to the losses so far and predicts the next ones, for `stretch` times the tokens of
the fit; then it is fitted again to all steps, and so on. The median of the last few losses is compared, which a single
spike does not move. The band is the law's profile interval (`trainer.scaling.power_law`) with the noise of such a
median, widened by a tolerance, as real curves are not exact power laws. While the run is outside the band, the law is
not fitted again, so that it does not adapt to a slow drift.

By default only a loss above the band raises an alarm. A run falls below it when the learning rate falls, at the end of
a cosine schedule; with `below` that raises an alarm too, which can reveal text that was trained on before.

Pure: no clock, no I/O. The same losses give the same alarms; a resumed run is fed with the earlier losses again.

Cost: a fit of some 40 ms each time the run has grown by `stretch`; otherwise some 5 µs a step.

Source: BlueLM (vivo 2023), which predicts the pre-training loss to notice an unexpected run in time; the report gives
no formula, this one is ours.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from tamis.extras import needs
from trainer.scaling.power_law import Floats, PowerLaw, fit_power_law

_BLOCKS = 96
_MEDIAN = math.sqrt(math.pi / 2)
"""Deviation of a median over that of a mean, for normal noise."""
_TO_DEVIATION = 1.4826
"""Median absolute deviation to standard deviation, for normal noise."""


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """The smoothed loss, nats a token, has been outside its band for so many steps, after so many tokens of the run."""

    tokens: float
    loss: float
    low: float
    high: float
    steps: int

    def __str__(self) -> str:
        """One sentence."""
        if not math.isfinite(self.loss):
            return f"after {self.tokens:,.0f} tokens the loss is {self.loss}."
        return (
            f"after {self.tokens:,.0f} tokens the smoothed loss is {self.loss:.3f}, for {self.steps} steps outside "
            f"the predicted {self.low:.3f} to {self.high:.3f}."
        )


@dataclass(kw_only=True)
class LossBand:
    """Fits, predicts and compares; `add` is called once a step.

    Attributes:
        warmup_steps: steps ignored at the beginning, at least those of the learning rate's warm-up.
        fit_steps: steps after warm-up before the first fit.
        stretch: how far a fit predicts before the next one, as a multiple of its tokens. With a longer stretch a slow
            drift is less likely to be fitted; but an early fit predicts the far future poorly.
        smooth: steps of the running median.
        patience: steps in a row outside the band before an alarm.
        deviations: half width of the band, in standard deviations.
        tolerance: added to the half width, as a share of the predicted loss.
        below: whether a loss below the band raises an alarm too.
    """

    warmup_steps: int
    fit_steps: int = 100
    stretch: float = 1.0
    smooth: int = 11
    patience: int = 5
    deviations: float = 4.0
    tolerance: float = 0.005
    below: bool = False
    _tokens: list[float] = field(default_factory=list, init=False, repr=False)
    _losses: list[float] = field(default_factory=list, init=False, repr=False)
    _law: PowerLaw | None = field(default=None, init=False, repr=False)
    _noise: float = field(default=0.0, init=False, repr=False)
    _until: float = field(default=math.inf, init=False, repr=False)
    _seen: int = field(default=0, init=False, repr=False)
    _outside: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        """Start with an empty median."""
        self._recent: deque[float] = deque(maxlen=self.smooth)

    def add(self, tokens: float, loss: float) -> Alarm | None:
        """Take a step's loss, nats a token, and the tokens of the run up to and with it.

        Returns an alarm at the `patience`-th step outside the band, and the next one only after the run was back
        inside; or at once if the loss is not finite.
        """
        self._seen += 1
        if not math.isfinite(loss):
            return Alarm(tokens=tokens, loss=loss, low=math.nan, high=math.nan, steps=1)
        if self._seen <= self.warmup_steps:
            return None
        self._tokens.append(tokens)
        self._losses.append(loss)
        self._recent.append(loss)
        found = self._compare(tokens)
        due = tokens >= self._until if self._law else len(self._losses) >= self.fit_steps
        if due and not self._outside:
            self._fit()
        return found

    def bounds(self, tokens: float) -> tuple[float, float, float] | None:
        """Low, middle and high of the smoothed loss after so many tokens; None before the first fit."""
        if self._law is None:
            return None
        middle = float(self._law(tokens))
        low, high = self._interval(tokens)
        slack = self.tolerance * middle
        return low - slack, middle, high + slack

    def _compare(self, tokens: float) -> Alarm | None:
        bounds = self.bounds(tokens)
        if bounds is None or len(self._recent) < self.smooth:
            return None
        smoothed = statistics.median(self._recent)
        low, _, high = bounds
        if not (smoothed > high or (self.below and smoothed < low)):
            self._outside = 0
            return None
        self._outside += 1
        if self._outside != self.patience:
            return None
        return Alarm(tokens=tokens, loss=smoothed, low=low, high=high, steps=self._outside)

    def _interval(self, tokens: float) -> tuple[float, float]:
        """The law's profile interval, interpolated in a table that reaches beyond the stretch."""
        grid, low, high = self._table
        place = math.log(tokens)
        return float(np.interp(place, grid, low)), float(np.interp(place, grid, high))

    def _fit(self) -> None:
        """Fit the law to medians of blocks of steps, and tabulate its interval."""
        needs("scipy", extra="train", for_="loss_band: true")
        from scipy.stats import norm

        tokens, losses = np.array(self._tokens), np.array(self._losses)
        x, y = _blocks(tokens, losses)
        law = fit_power_law(x, y)
        late = slice(len(losses) // 2, None)  # the noise is estimated on the recent half
        apart = losses[late] - law(tokens[late])
        self._noise = float(_TO_DEVIATION * np.median(np.abs(apart - np.median(apart))))
        self._law, self._until = law, tokens[-1] * (1 + self.stretch)
        grid = np.geomspace(tokens[0], max(self._until, 2 * tokens[-1]) * 4, 64)
        level = float(2 * norm.cdf(self.deviations) - 1)
        noise = self._noise * _MEDIAN / math.sqrt(self.smooth)
        low, high = law.interval(grid, level, noise / max(law.residual, 1e-12))
        self._table: tuple[Floats, Floats, Floats] = (np.log(grid), low, high)


def _blocks(tokens: Floats, losses: Floats) -> tuple[Floats, Floats]:
    """Medians over equal blocks of steps, so that spikes do not matter and the cost of a fit does not grow."""
    count = min(_BLOCKS, len(losses) // 5)
    parts = np.array_split(np.arange(len(losses)), max(count, 8))
    return (
        np.array([np.exp(np.log(tokens[part]).mean()) for part in parts]),
        np.array([np.median(losses[part]) for part in parts]),
    )
