"""Inside a cell: what comparing every pair in float64 finds, whatever the blocks; giants are divided fairly."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dedup import cells
from dedup.cells import CellFacts, compare, divide_giants
from dedup.clusters import Backend, open_backend
from tests.oracles.embed import every_pair, told_once
from tests.support.examples import examples


@st.composite
def some_cells(draw: st.DrawFn) -> tuple[np.ndarray, list[int]]:
    """Unit vectors about a few centres, some of them copies of others; cells of any size, empty ones too."""
    random = np.random.default_rng(draw(st.integers(0, 2**31)))
    n, dim = draw(st.integers(0, 60)), draw(st.sampled_from([2, 5, 16, 70]))
    spread, copies = draw(st.sampled_from([0.05, 0.4, 2.0])), draw(st.sampled_from([0.0, 0.3, 0.8]))
    vectors = random.standard_normal((4, dim))[random.integers(0, 4, n)] + spread * random.standard_normal((n, dim))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    for i in range(1, n):
        if random.random() < copies:
            vectors[i] = vectors[random.integers(0, i)]
    bounds = sorted(draw(st.lists(st.integers(0, n), max_size=4)))
    return vectors, [0, *bounds, n]


def edges_of(found: CellFacts) -> dict[tuple[int, int], float]:
    ends = list(zip(found.left.tolist(), found.right.tolist(), strict=True))
    assert ends == sorted(set(ends)) and all(a < b for a, b in ends)
    return dict(zip(ends, found.cosine.tolist(), strict=True))


def equal_to_every_pair(found: CellFacts, vectors: np.ndarray, ptr: list[int], threshold: float) -> None:
    twin = every_pair(vectors, ptr, threshold)
    edges, expected = edges_of(found), told_once(vectors, ptr, twin)
    assert set(edges) == set(expected)
    assert [edges[e] for e in sorted(edges)] == pytest.approx([expected[e] for e in sorted(edges)], abs=1e-6)
    assert found.component.tolist() == twin.component
    np.testing.assert_allclose(found.nearest, twin.nearest, atol=6e-5)
    np.testing.assert_allclose(found.density, twin.density, atol=6e-5)
    assert found.nearest.dtype == found.density.dtype == found.cosine.dtype == np.float32


@examples(400)
@given(some_cells(), st.sampled_from([-1.0, 0.0, 0.5, 0.9, 0.999, 1.0]), st.sampled_from([1, 3, 512]))
@example((np.zeros((0, 4), np.float32), [0, 0]), 0.9, 512)
@example((np.ones((1, 1), np.float32), [0, 1]), 0.9, 512)
@example((np.ones((40, 1), np.float32), [0, 1, 1, 40]), 0.9, 512)
def test_cells_equal_comparing_every_pair(case: tuple[np.ndarray, list[int]], threshold: float, block: int) -> None:
    vectors, ptr = case
    before = cells.BLOCK_ROWS
    try:
        cells.BLOCK_ROWS = block
        found = compare(vectors, np.array(ptr, np.int64), threshold)
    finally:
        cells.BLOCK_ROWS = before
    assert not found.capped.any()
    equal_to_every_pair(found, vectors, ptr, threshold)


def line(n: int, step: float) -> np.ndarray:
    """Unit vectors of the plane, each turned by so many degrees from the one before."""
    angle = np.radians(step) * np.arange(n)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


def test_who_is_alone_has_no_neighbour() -> None:
    found = compare(line(3, 30), np.array([0, 1, 3]), 0.5)
    assert np.isnan(found.nearest).tolist() == np.isnan(found.density).tolist() == [True, False, False]
    assert found.nearest[1:] == pytest.approx([np.cos(np.radians(30))] * 2, abs=6e-5)
    assert found.component.tolist() == [0, 1, 1], "cells are not compared with one another"


def test_the_density_is_over_eight_neighbours_copies_among_them() -> None:
    vectors = line(12, 5)
    found = compare(vectors, np.array([0, 12]), 2.0)
    assert found.density[0] == pytest.approx(np.cos(np.radians(5 * np.arange(1, 9))).mean(), abs=6e-5)
    copied = np.concatenate([vectors, np.repeat(vectors[:1], 7, axis=0)])
    found = compare(copied, np.array([0, 19]), 2.0)
    assert found.density[0] == pytest.approx((7 + np.cos(np.radians(5))) / 8, abs=6e-5)
    assert found.density[12] == found.density[0] and found.nearest[12] == found.nearest[0] == 1
    assert found.density[1] == pytest.approx(np.cos(np.radians(5)), abs=6e-5), "eight copies at its side"


def test_a_template_seen_many_times_costs_a_link_each() -> None:
    vectors = np.repeat(line(2, 10), 3000, axis=0)
    found = compare(vectors, np.array([0, 6000]), 0.9)
    assert len(found.left) == 2 * 2999 + 1 and set(found.component.tolist()) == {0} and not found.capped.any()
    assert (found.nearest == 1).all() and (found.density == 1).all()


@examples(150)
@given(some_cells(), st.sampled_from([0.0, 0.5, 0.9]), st.integers(1, 5))
def test_of_many_links_each_keeps_its_nearest(case: tuple[np.ndarray, list[int]], threshold: float, most: int) -> None:
    vectors, ptr = case
    whole = compare(vectors, np.array(ptr), threshold)
    before = cells.MAX_LINKS
    try:
        cells.MAX_LINKS = most
        found = compare(vectors, np.array(ptr), threshold)
    finally:
        cells.MAX_LINKS = before
    np.testing.assert_array_equal(found.nearest, whole.nearest)
    np.testing.assert_array_equal(found.density, whole.density)
    every, kept, full = edges_of(whole), edges_of(found), 0
    for i in range(len(vectors)):
        earlier = sorted((c for (_, b), c in every.items() if b == i), reverse=True)
        mine = sorted((c for (_, b), c in kept.items() if b == i), reverse=True)
        copy = any(c == 1 and b == i and (vectors[a] == vectors[b]).all() for (a, b), c in every.items())
        assert mine == (earlier if copy else earlier[:most])
        full += not copy and len(earlier) > most
    assert set(kept.items()) <= set(every.items()) and found.capped.sum() == full
    for (a, b), _ in kept.items():
        assert found.component[a] == found.component[b]
    linked = {b for _, b in every}
    assert all(found.component[b] != b for b in linked), "whoever is linked to an earlier one stays so"


def test_a_dense_component_stays_one_though_links_are_left_out() -> None:
    random = np.random.default_rng(3)
    vectors = 1 + 0.05 * random.standard_normal((700, 20))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    found = compare(vectors, np.array([0, 700]), 0.9)
    assert set(found.component.tolist()) == {0}
    assert found.capped.sum() == 700 - 1 - cells.MAX_LINKS
    assert np.bincount(found.right).max() == cells.MAX_LINKS


# -------------------------------------------------------------------------------------------------------------- giants


@pytest.fixture(scope="module")
def backend() -> Backend:
    pytest.importorskip("faiss")
    return open_backend("cpu", threads=1)


def checked_parts(vectors: np.ndarray, ptr: list[int], most: int, backend: Any) -> tuple[list[list[int]], int]:
    """The members of each part, after what is true of all divisions."""
    order, bounds, divided = divide_giants(vectors, np.array(ptr, np.int64), most, 3, backend)
    assert sorted(order.tolist()) == list(range(len(vectors)))
    parts = [order[a:b].tolist() for a, b in itertools.pairwise(bounds.tolist())]
    assert sum(map(len, parts)) == len(vectors) and all(parts)
    giants = 0
    for low, high in itertools.pairwise(ptr):
        inside = [part for part in parts if low <= part[0] < high]
        assert sorted(itertools.chain(*inside)) == list(range(low, high)), "a part lies in one cell"
        distinct = len({vectors[i].tobytes() for i in range(low, high)})
        giants += distinct > most
        assert distinct > most or len(inside) == (high > low), "what is small enough stays whole"
    for part in parts:
        assert part == sorted(part)
        assert len({vectors[i].tobytes() for i in part}) <= most
    of = {i: number for number, part in enumerate(parts) for i in part}
    for low, high in itertools.pairwise(ptr):
        homes: dict[bytes, int] = {}
        for i in range(low, high):
            assert homes.setdefault(vectors[i].tobytes(), of[i]) == of[i], "copies stay together"
    assert divided.sum() == giants
    again = divide_giants(vectors.copy(), np.array(ptr, np.int64), most, 3, backend)
    assert (again[0] == order).all() and (again[1] == bounds).all()
    return parts, divided


@examples(80)
@given(some_cells(), st.sampled_from([1, 4, 16, 100]))
def test_no_part_has_more_different_vectors_than_may_be_compared(
    backend: Backend, case: tuple[np.ndarray, list[int]], most: int
) -> None:
    checked_parts(*case, most, backend)


def test_equal_vectors_need_no_dividing(backend: Backend) -> None:
    parts, divided = checked_parts(np.repeat(line(2, 90), 500, axis=0), [0, 1000], 16, backend)
    assert not divided.any() and len(parts) == 1


class Blind:
    """A k-means that sees one place only."""

    name = "blind"

    def __init__(self, backend: Backend) -> None:
        self.searcher = backend.searcher

    def kmeans(self, vectors: np.ndarray, cells: int, seed: int, iterations: int) -> np.ndarray:
        return np.repeat(vectors[:1], cells, axis=0)


def test_what_cannot_be_divided_is_cut_in_order(backend: Backend) -> None:
    parts, divided = checked_parts(line(100, 0.5), [0, 100], 16, Blind(backend))
    assert divided.sum() == 1 and parts == [list(range(i, min(i + 16, 100))) for i in range(0, 100, 16)]


def test_neighbours_mostly_stay_together(backend: Backend) -> None:
    random = np.random.default_rng(4)
    middle = np.repeat(random.standard_normal((60, 16)), 10, axis=0)
    vectors = middle + 0.02 * random.standard_normal(middle.shape)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    order, bounds, divided = divide_giants(vectors, np.array([0, 600]), 100, 1, backend)
    assert divided.sum() == 1 and 6 <= len(bounds) - 1 <= 40
    whole = len(compare(vectors, np.array([0, 600]), 0.95).left)
    assert len(compare(vectors[order], bounds, 0.95).left) >= 0.95 * whole > 60 * 40
