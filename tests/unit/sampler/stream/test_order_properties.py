"""Copies and permutations: exact cumulative rounding, at most once a pass, permutations that are ones."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sampler.stream import order
from tests.support.examples import examples


@examples(100)
@given(st.lists(st.floats(0, 5, width=32), min_size=1, max_size=30), st.integers(0, 2**63 - 1), st.integers(0, 50))
def test_copies_are_the_rounded_line(weights: list[float], seed: int, epochs: int) -> None:
    fixed = order.fixed_weights(np.array(weights, np.float32))
    phases = order.draws(seed, np.arange(len(weights), dtype=np.int64))
    passes = order.passes_per_epoch(fixed)
    got = order.copies_after(fixed, phases, epochs * passes, passes)
    for weight, phase, copies in zip(fixed.tolist(), phases.tolist(), got.tolist(), strict=True):
        assert copies == floor(Fraction(weight * epochs + phase, order.UNIT))


@examples(100)
@given(st.lists(st.floats(0, 5, width=32), min_size=1, max_size=20), st.integers(0, 1000))
def test_at_most_once_a_pass_and_passes_sum_to_the_epoch(weights: list[float], seed: int) -> None:
    fixed = order.fixed_weights(np.array(weights, np.float32))
    phases = order.draws(seed, np.arange(len(weights), dtype=np.int64))
    passes = order.passes_per_epoch(fixed)
    lengths = np.arange(1, len(weights) + 1, dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    starts = order.block_starts(offsets, 7, 4)
    for number in range(3 * passes):
        before, after = (order.copies_after(fixed, phases, n, passes) for n in (number, number + 1))
        assert set((after - before).tolist()) <= {0, 1}
        inside = order.documents_in_pass(fixed, phases, number, passes)
        assert np.array_equal(inside, np.flatnonzero(after - before))
        by_block = order.tokens_by_block(fixed, phases, offsets, starts, number, passes)
        assert by_block.sum() == lengths[inside].sum()
        total = order.tokens_after(fixed, phases, offsets, number + 1, passes)
        assert total == (lengths * after).sum()


def test_far_epochs_do_not_overflow() -> None:
    fixed = order.fixed_weights(np.array([64.0, 0.3, 1.0], np.float32))
    phases = np.array([order.UNIT - 1, 0, 5], np.uint32)
    done = (1 << 32) - 3
    got = order.copies_after(fixed, phases, done, 64).tolist()
    wanted = [
        floor(Fraction(w * done, 64 * order.UNIT) + Fraction(u, order.UNIT))
        for w, u in zip(fixed.tolist(), phases.tolist(), strict=True)
    ]
    assert got == wanted


def test_a_fraction_of_documents_comes_in_that_fraction_of_epochs() -> None:
    count = 20_000
    fixed = order.fixed_weights(np.full(count, 0.3, np.float32))
    phases = order.draws(9, np.arange(count, dtype=np.int64))
    first = order.copies_after(fixed, phases, 1, 1)
    assert abs(first.mean() - 0.3) < 0.015
    assert set(order.copies_after(fixed, phases, 10, 1).tolist()) <= {2, 3, 4}


@examples(200)
@given(st.integers(0, 3000), st.integers(0, 2**64 - 1))
def test_permutation_is_one(count: int, key: int) -> None:
    found = order.permutation(count, key)
    assert np.array_equal(np.sort(found), np.arange(count))
    assert np.array_equal(found, order.permutation(count, key))


def test_permutations_are_uniform() -> None:
    seen = [tuple(order.permutation(4, order.key_of(3, "web", epoch)).tolist()) for epoch in range(24_000)]
    counts = np.unique(np.array(seen), axis=0, return_counts=True)[1]
    assert len(counts) == 24
    assert ((counts - 1000) ** 2 / 1000).sum() < 60  # chi-squared, 23 degrees: P < 10^-4


@examples(100)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=60), st.integers(1, 100), st.integers(1, 70))
def test_blocks_tile_the_documents(lengths: list[int], block_tokens: int, most: int) -> None:
    starts = order.block_starts(np.concatenate([[0], np.cumsum(lengths)]), block_tokens, most)
    assert starts[0] == 0 and starts[-1] == len(lengths) and (np.diff(starts) > 0).all()
    for begin, end in zip(starts[:-1], starts[1:], strict=True):
        assert end - begin <= most
        assert sum(lengths[begin : end - 1]) < block_tokens  # full before its last document began, at the latest
