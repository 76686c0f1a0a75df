"""Which domain sample i comes from: a quota with deadlines.

Tijdeman's schedule keeps every domain, after every single step, within 1 - 1/(2k - 2) of a sequence of its
target λ·t. Its siblings do not: drawing at random drifts by √t; the plain largest deficit falls up to 1.3
behind with uneven weights, for it serves a big domain that can wait before a small one that cannot.

The choice at step t depends on the counts before it, so the choices (never the text) are replayed: about 5 ns for each
step and domain. Counts are remembered every 65,536 steps, so that a second visit replays at most one such interval;
with the counts from a saved state nothing is replayed. Weights are multiples of 2^-40 whose sum is exactly one:
arithmetic is exact, and no target is off by a sequence before 10^12 steps.

Source: R. Tijdeman, "The chairman assignment problem", Discrete Mathematics 32 (1980), 323-330. Deviation:
the comparison of deadlines is one float64 division; equal ones go to the domain of the lower index.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from tamis.kernels import kernel

ONE = 1 << 40
_INTERVAL = 1 << 16


class Blend:
    """An endless sequence of domains in proportion to their weights (above zero; any sum), with random access."""

    def __init__(self, weights: Sequence[float | int | Fraction]) -> None:
        if not weights or any(weight <= 0 for weight in weights):
            raise ValueError("a blend needs at least one domain, and weights above zero")
        self.quotas = exact_quotas(weights)
        self._marks: list[npt.NDArray[np.int64]] = [np.zeros(len(weights), np.int64)]
        self._near = (0, self._marks[0])  # where the last call ended: the next one mostly begins there

    def fork(self) -> Blend:
        """The same, with a copy of the counts known so far, for another thread."""
        other = Blend.__new__(Blend)
        other.quotas, other._marks, other._near = self.quotas, list(self._marks), self._near
        return other

    def seek(self, step: int, counts: npt.NDArray[np.int64]) -> None:
        """Continue from a step whose counts are known, without a replay.

        Raises:
            ValueError: no schedule of these weights has such counts there.
        """
        lag = [int(quota) * step - ONE * int(count) for quota, count in zip(self.quotas, counts, strict=True)]
        if int(counts.sum()) != step or any(abs(value) >= ONE for value in lag):
            raise ValueError(f"the counts {counts.tolist()} are not those of step {step}")
        self._near = (step, counts.copy())

    def counts(self, step: int) -> npt.NDArray[np.int64]:
        """How many of the samples before `step` each domain gave: int64[n_domains]."""
        mark = min(step // _INTERVAL, len(self._marks) - 1)
        start, counts = self._near
        if not mark * _INTERVAL < start <= step:
            start, counts = step // _INTERVAL * _INTERVAL, self._mark(step // _INTERVAL)
        counts = counts.copy()
        self._run(start, counts, step - start)
        return counts

    def expected(self, step: int) -> npt.NDArray[np.int64]:
        """`counts`, within one, without a replay: int64[n_domains]."""
        return np.array([int(quota) * step // ONE for quota in self.quotas], np.int64)

    def choices(self, start: int, stop: int) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int64]]:
        """The domain of samples start…stop-1, and which of its domain's samples each one is.

        Returns:
            int16[n] index of the domain, int64[n] ordinal within the domain, from zero.
        """
        counts = self.counts(start)
        found = self._run(start, counts, stop - start)
        self._near = (stop, counts)
        return found

    def _mark(self, index: int) -> npt.NDArray[np.int64]:
        while len(self._marks) <= index:
            counts = self._marks[-1].copy()
            self._run((len(self._marks) - 1) * _INTERVAL, counts, _INTERVAL)
            self._marks.append(counts)
        return self._marks[index]

    def _run(
        self, start: int, counts: npt.NDArray[np.int64], steps: int
    ) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int64]]:
        """Take steps from `start`, updating `counts` in place."""
        # Python's integers: quota x step passes 2^63 long before the (small) difference does.
        lag = [int(quota) * start - ONE * int(count) for quota, count in zip(self.quotas, counts, strict=True)]
        domains, ordinals = np.empty(steps, np.int16), np.empty(steps, np.int64)
        _tijdeman(self.quotas, np.array(lag, np.int64), counts, ONE, domains, ordinals)
        return domains, ordinals


def exact_quotas(weights: Sequence[float | int | Fraction]) -> npt.NDArray[np.int64]:
    """Weights as whole numbers that sum to 2^40, by largest remainder: int64[n_domains].

    A weight too small for that gets 1, taken from the largest.
    """
    exact = [Fraction(weight) for weight in weights]
    total = sum(exact)
    ideal = [weight * ONE / total for weight in exact]
    quotas = [max(1, int(value)) for value in ideal]
    by_remainder = sorted(range(len(ideal)), key=lambda i: (int(ideal[i]) - ideal[i], i))
    for i in by_remainder[: max(0, ONE - sum(quotas))]:
        quotas[i] += 1
    quotas[max(range(len(quotas)), key=quotas.__getitem__)] += ONE - sum(quotas)
    return np.array(quotas, np.int64)


@kernel(nogil=True)
def _tijdeman(quotas, lag, counts, one, domains, ordinals):  # type: ignore[no-untyped-def]
    n = len(quotas)
    scale = max(2 * n - 2, 1)
    for step in range(len(domains)):
        best, best_deadline = 0, np.inf
        for d in range(n):
            lag[d] += quotas[d]
            if n == 1 or lag[d] * scale >= one:
                # Steps until the lag would pass 1 - 1/(2n - 2), up to a factor that all share.
                deadline = np.float64((scale - 1) * one - scale * lag[d]) / np.float64(quotas[d])
                if deadline < best_deadline:
                    best, best_deadline = d, deadline
        lag[best] -= one
        domains[step] = best
        ordinals[step] = counts[best]
        counts[best] += 1
