"""When not to take a step: its loss or gradient norm is no number, or far above what came before.

"Far" is measured on the losses of the last steps taken: more than `factor` of their mean absolute deviations, and a
tenth, above their median. Spikes come from data or numerics, and a step taken on one can undo thousands; a step not
taken costs one.

Source: the practice of PaLM (Chowdhery et al. 2022, section 5.1), which goes back and passes over the data; here the
first answer is to pass over the batch alone.
"""

from __future__ import annotations

import math
import statistics
from collections import deque


class SpikeGuard:
    """Judges steps.

    Args:
        window: how many steps are remembered; before half of it is full only what is no number is refused.
        factor: deviations that are too far; 0 for no such rule.
        patience: refusals in a row before the run goes back to its checkpoint.
    """

    def __init__(self, window: int = 64, factor: float = 10.0, patience: int = 4) -> None:
        self.factor, self.patience = factor, patience
        self._losses: deque[float] = deque(maxlen=window)
        self._refused = 0

    def refuse(self, loss: float, norm: float) -> str | None:
        """Why a step should not be taken; None where it should."""
        reason = self._reason(loss, norm)
        if reason is None:
            self._refused = 0
            self._losses.append(loss)
        else:
            self._refused += 1
        return reason

    @property
    def exhausted(self) -> bool:
        """Whether so many steps in a row were refused that passing over data does not help."""
        return self._refused >= self.patience

    def remember(self, loss: float) -> None:
        """A step that was taken before a resume."""
        self._losses.append(loss)

    def forget(self) -> None:
        """Begin anew: the run has gone back, or on to a phase whose losses are not those of the one before."""
        self._losses.clear()
        self._refused = 0

    def _reason(self, loss: float, norm: float) -> str | None:
        if not math.isfinite(loss):
            return f"the loss is {loss}"
        if not math.isfinite(norm):
            return f"the gradient norm is {norm}"
        if not self.factor or len(self._losses) < (self._losses.maxlen or 2) // 2:
            return None
        middle = statistics.median(self._losses)
        spread = statistics.fmean(abs(value - middle) for value in self._losses)
        limit = middle + max(self.factor * spread, 0.1 * abs(middle))
        return f"the loss is {loss:.3f}, above {limit:.3f}" if loss > limit else None
