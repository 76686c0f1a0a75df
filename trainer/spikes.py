"""When to refuse a step: its loss or gradient norm is not finite, or the loss is far above the last ones.

"Far above" means above the median of the last steps' losses by more than `factor` of their mean absolute deviations
and by more than a tenth of the median. Spikes come from data or numerics. A step taken on a spike can undo thousands;
a refused step costs one.

Source: the practice of PaLM (Chowdhery et al. 2022, section 5.1), which returns to a checkpoint and skips the data;
here only the batch is skipped at first.
"""

from __future__ import annotations

import math
import statistics
from collections import deque


class SpikeGuard:
    """Decides whether a step is refused, by the last `window` losses.

    Until half of it is full only steps that are not finite are refused; so it is always with `factor` 0. After
    `patience` refusals in a row the run returns to its checkpoint.
    """

    def __init__(self, window: int = 64, factor: float = 10.0, patience: int = 4) -> None:
        self.factor, self.patience = factor, patience
        self._losses: deque[float] = deque(maxlen=window)
        self._refused = 0

    def refuse(self, loss: float, norm: float) -> str | None:
        """Why a step is refused; None if it is not."""
        reason = self._reason(loss, norm)
        if reason is None:
            self._refused = 0
            self._losses.append(loss)
        else:
            self._refused += 1
        return reason

    @property
    def exhausted(self) -> bool:
        """Whether so many steps in a row were refused that skipping data does not help."""
        return self._refused >= self.patience

    def remember(self, loss: float) -> None:
        """Add the loss of a step that was taken before a resume."""
        self._losses.append(loss)

    def forget(self) -> None:
        """Start over: the run has returned to a checkpoint, or entered a phase, whose losses may be different."""
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
