"""What the sketch may decide: the bounds equal exact binomial tails, and real sketches err as rarely as they say."""

from __future__ import annotations

import functools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dedup.banding import detection_probability, sketch_bounds
from dedup.minhash import SKETCH_BITS, signatures
from tests.support.examples import examples
from text.arrow import TextColumn


@functools.cache
def equal_bits(threshold: float) -> list[Fraction]:
    """The exact probability of 0, 1, … 128 equal bits for a pair of this similarity."""
    p = (1 + Fraction(threshold)) / 2
    return [math.comb(SKETCH_BITS, i) * p**i * (1 - p) ** (SKETCH_BITS - i) for i in range(SKETCH_BITS + 1)]


THRESHOLDS = st.floats(0.05, 1.0) | st.sampled_from([0.5, 0.7, 0.75, 0.8, 0.9, 0.95])
ERRORS = st.floats(1e-12, 0.49) | st.sampled_from([0.0, 1e-7, 1e-4, 1e-2])
SLACK = Fraction(1, 10**9)
"""For the rounding of the code's sums."""


@examples(80)
@given(THRESHOLDS, ERRORS, ERRORS)
@example(0.75, 1e-4, 1e-7)
@example(1.0, 0.4, 0.4)
@example(1.0, 0.0, 0.0)
@example(0.99609375, 0.0, 0.25)
def test_the_bounds_are_those_of_exact_tails(threshold: float, false_reject: float, false_accept: float) -> None:
    reject, accept = sketch_bounds(threshold, false_reject, false_accept)
    mass = equal_bits(threshold)
    assert 0 <= reject <= SKETCH_BITS and 0 <= accept <= SKETCH_BITS + 1
    assert sum(mass[:reject]) <= Fraction(false_reject) * (1 + SLACK)
    assert reject == SKETCH_BITS or sum(mass[: reject + 1]) >= Fraction(false_reject) * (1 - SLACK), "could be tighter"
    assert sum(mass[accept:]) <= Fraction(false_accept) * (1 + SLACK)
    assert accept == 0 or sum(mass[accept - 1 :]) >= Fraction(false_accept) * (1 - SLACK), "could be tighter"
    assert reject <= accept, "no pair is both rejected and accepted"


def test_the_bounds_of_the_default_pipeline() -> None:
    assert sketch_bounds(0.75, 1e-4, 1e-7) == (97, 128)
    assert sketch_bounds(0.75, 0.0, 0.0) == (0, 129), "no error allowed: nothing is decided unseen"
    assert sketch_bounds(0.95, 1e-4, 1e-7)[1] == 129, "not even equal sketches are sure"


@pytest.mark.parametrize("threshold", [0.6, 0.75, 0.9])
def test_simulated_sketches_err_as_rarely_as_they_say(threshold: float) -> None:
    pairs = 400_000
    agree = np.random.default_rng(3).binomial(SKETCH_BITS, (1 + threshold) / 2, pairs)
    reject, accept = sketch_bounds(threshold, 0.02, 0.01)
    mass = equal_bits(threshold)
    for errors, exact, allowed in (
        (int((agree < reject).sum()), float(sum(mass[:reject])), 0.02),
        (int((agree >= accept).sum()), float(sum(mass[accept:])), 0.01),
    ):
        assert abs(errors / pairs - exact) < 4 * math.sqrt(exact / pairs)
        assert 0 < errors / pairs < allowed + 4 * math.sqrt(allowed / pairs)


def test_sketches_of_real_signatures_err_as_rarely_as_they_say() -> None:
    """Pairs of texts of J = 3/4, each with its own words: 30 shingles shared, 5 on either side."""
    pairs, texts = 3000, []
    for number in range(pairs):
        shared = [f"s{number}x{i}" for i in range(34)]
        texts += [" ".join([*shared, *(f"{side}{number}x{i}" for i in range(5))]) for side in "ab"]
    sketch = signatures(TextColumn.from_texts(texts), SKETCH_BITS).sketch
    agree = SKETCH_BITS - np.bitwise_count(sketch[::2] ^ sketch[1::2]).sum(axis=1).astype(np.int64)
    reject, accept = sketch_bounds(0.75, 0.05, 0.05)
    mass = equal_bits(0.75)
    for errors, exact in (
        (int((agree < reject).sum()), float(sum(mass[:reject]))),
        (int((agree >= accept).sum()), float(sum(mass[accept:]))),
    ):
        assert abs(errors / pairs - exact) < 4 * math.sqrt(exact / pairs)
        assert errors, "no pair was near the bound: the test says nothing"


@pytest.mark.parametrize(("bands", "rows"), [(21, 6), (9, 13), (1, 1)])
def test_detection_is_that_of_independent_bands(bands: int, rows: int) -> None:
    for similarity in (0.0, 0.3, 0.75, 1.0):
        missed = (1 - Fraction(similarity) ** rows) ** bands
        assert detection_probability(similarity, bands, rows) == pytest.approx(float(1 - missed), abs=1e-12)
