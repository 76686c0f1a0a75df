"""The blend: within one sequence of every target at every step; random access is exact."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampler.stream.blend import ONE, Blend, exact_quotas
from tests.support.examples import examples

IRRATIONAL = [2**0.5, 3**0.5, 5**0.5, 7**0.5, 11**0.5]
WEIGHTS = [
    [1.0],
    [0.5, 0.5],
    [0.37, 0.63],
    IRRATIONAL,
    [1.0, 1e-6],
    [1e-9, 1e-3, 1.0, 1e3],
    [0.135, 0.315, 0.10, 0.15, 0.25, 0.05],
    [1.0] * 12,
    [0.51] + [0.07] * 7,
]


def worst_deviation(quotas: np.ndarray, domains: np.ndarray) -> float:
    """The largest |count - λ·t| over all steps and domains, in exact integers until the last division."""
    steps = np.arange(1, len(domains) + 1)
    worst = 0
    for domain, quota in enumerate(quotas):
        counts = np.cumsum(domains == domain)
        # ONE·count - quota·t stays small, but its terms do not: wrap-around in int64 cancels.
        worst = max(worst, int(np.abs(counts * ONE - steps * int(quota)).max()))
    return worst / ONE


def slow_schedule(quotas: np.ndarray, steps: int) -> list[int]:
    """Tijdeman's rule in fractions, as printed."""
    shares = [Fraction(int(quota), ONE) for quota in quotas]
    k, counts, chosen = len(shares), [0] * len(shares), []
    slack = 1 - Fraction(1, 2 * k - 2)
    for step in range(1, steps + 1):
        lags = [share * step - count for share, count in zip(shares, counts, strict=True)]
        eligible = [d for d in range(k) if lags[d] >= 1 - slack]
        best = min(eligible, key=lambda d: ((slack - lags[d]) / shares[d], d))
        counts[best] += 1
        chosen.append(best)
    return chosen


@pytest.mark.parametrize("weights", WEIGHTS)
def test_within_tijdemans_bound_at_every_step(weights: list[float]) -> None:
    domains, _ = Blend(weights).choices(0, 150_000)
    bound = 1 - 1 / (2 * len(weights) - 2) if len(weights) > 1 else 0
    assert worst_deviation(exact_quotas(weights), domains) <= bound + 1e-9


@examples(150)
@given(st.lists(st.floats(1e-7, 1e3), min_size=2, max_size=16))
def test_any_weights_stay_within_one_sequence(weights: list[float]) -> None:
    domains, _ = Blend(weights).choices(0, 4000)
    quotas = exact_quotas(weights)
    assert worst_deviation(quotas, domains) < 1
    assert int(quotas.sum()) == ONE and quotas.min() >= 1
    exact = np.array([float(Fraction(w) / sum(map(Fraction, weights))) for w in weights])
    assert np.abs(quotas / ONE - exact).max() <= len(weights) / ONE


@pytest.mark.parametrize("weights", [w for w in WEIGHTS if len(w) > 1])
def test_equals_the_slow_twin(weights: list[float]) -> None:
    domains, _ = Blend(weights).choices(0, 400)
    assert domains.tolist() == slow_schedule(exact_quotas(weights), 400)


def test_random_access_equals_the_stream_across_marks() -> None:
    whole, ordinals = Blend(IRRATIONAL).choices(0, 140_000)
    for domain in range(len(IRRATIONAL)):
        assert np.array_equal(ordinals[whole == domain], np.arange((whole == domain).sum()))
    used = Blend(IRRATIONAL)
    for start, stop in (
        (0, 1),
        (1, 9),
        (3, 12),
        (40, 50),
        (65_535, 65_537),
        (65_536, 65_600),
        (131_071, 139_999),
        (7, 7),
    ):
        for blend in (Blend(IRRATIONAL), used):  # a fresh one, and one that has been elsewhere
            domains, numbers = blend.choices(start, stop)
            assert np.array_equal(domains, whole[start:stop]) and np.array_equal(numbers, ordinals[start:stop])


def test_largest_deficit_would_not_do() -> None:
    """The sibling that docs/design/principles.md rejects leaves the bound, so the bound's test can fail."""
    weights = [3.0, 100, 100, 1, 1, 3, 1, 100, 1, 3, 100, 20, 1]
    quotas = exact_quotas(weights)
    lag, domains = np.zeros(len(quotas)), []
    for _ in range(4000):
        lag += quotas / ONE
        domains.append(int(np.argmax(lag)))
        lag[domains[-1]] -= 1
    assert worst_deviation(quotas, np.array(domains)) > 1
    assert worst_deviation(quotas, Blend(weights).choices(0, 4000)[0]) < 1
