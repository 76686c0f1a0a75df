"""Bands and buckets: which pairs are proposed, which are not, and what is said about those that were not compared."""

from __future__ import annotations

import itertools
import time

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.banding import MAX_ANCHORS, MAX_LINKS, Candidates, band_keys, bucket_edges
from tests.support.examples import examples

ACCEPT, CLEAR = 0.75 - 4 * 0.06, 0.75 + 2 * 0.06


def flipped(base: np.ndarray, bits: list[int]) -> np.ndarray:
    out = base.copy()
    for bit in bits:
        out[bit // 64] ^= np.uint64(1) << np.uint64(bit % 64)
    return out


def likeness(x: np.ndarray, y: np.ndarray) -> float:
    return 1 - 2 * int(np.bitwise_count(x ^ y).sum()) / 128


def candidates(keys: object, ids: object, sketch: np.ndarray, **options: float) -> Candidates:
    arguments = {"accept": ACCEPT, "clear": CLEAR, **options}
    return bucket_edges(np.asarray(keys, np.int64), np.asarray(ids, np.int64), sketch, **arguments)


def edges_of(
    keys: object, ids: object, sketch: np.ndarray, **options: float
) -> tuple[list[tuple[int, int]], list[int]]:
    found = candidates(keys, ids, sketch, **options)
    return list(zip(found.low.tolist(), found.high.tolist(), strict=True)), found.capped.tolist()


def random_sketches(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**63, (n, 2)).astype(np.uint64) * np.uint64(2) + np.uint64(1)


@st.composite
def buckets(draw: st.DrawFn, largest: int) -> tuple[list[int], list[int], np.ndarray]:
    """Sorted keys, ids, sketches that crowd around a few centres."""
    centres = random_sketches(3, draw(st.integers(0, 50)))
    sizes = draw(st.lists(st.integers(1, largest), min_size=1, max_size=4))
    keys = [key for key, size in enumerate(sizes) for _ in range(size)]
    ids = np.cumsum(draw(st.lists(st.integers(1, 2**40), min_size=len(keys), max_size=len(keys)))).tolist()
    bits = st.lists(st.integers(0, 127), max_size=24, unique=True)
    sketch = np.stack([flipped(centres[draw(st.integers(0, 2))], draw(bits)) for _ in keys])
    return keys, ids, sketch


@examples(150)
@given(buckets(largest=MAX_LINKS + 1))
def test_pairs_that_the_sketch_is_sure_of_are_connected(case: tuple[list[int], list[int], np.ndarray]) -> None:
    """Directly or by anchors: as 3 clear - 2 >= accept, the anchors of two sure members are linked themselves."""
    keys, ids, sketch = case
    assert 3 * CLEAR - 2 >= ACCEPT
    edges, capped = edges_of(keys, ids, sketch)
    assert capped == []
    graph = nx.Graph(edges)
    graph.add_nodes_from(ids)
    component = {node: i for i, nodes in enumerate(nx.connected_components(graph)) for node in nodes}
    for i, j in itertools.combinations(range(len(ids)), 2):
        if keys[i] == keys[j] and likeness(sketch[i], sketch[j]) >= CLEAR:
            assert component[ids[i]] == component[ids[j]]


@examples(150)
@given(buckets(largest=30))
def test_edges_are_plausible_ordered_and_within_a_bucket(case: tuple[list[int], list[int], np.ndarray]) -> None:
    keys, ids, sketch = case
    found = candidates(keys, ids, sketch)
    edges = list(zip(found.low.tolist(), found.high.tolist(), strict=True))
    at = {doc: i for i, doc in enumerate(ids)}
    assert len(set(edges)) == len(edges)
    assert found.agree.dtype == np.int16
    for low, high, agree in zip(found.low.tolist(), found.high.tolist(), found.agree.tolist(), strict=True):
        assert low < high
        assert keys[at[low]] == keys[at[high]]
        assert likeness(sketch[at[low]], sketch[at[high]]) >= ACCEPT
        assert agree == 64 * (1 + likeness(sketch[at[low]], sketch[at[high]]))
    assert max(np.unique([high for _, high in edges], return_counts=True)[1], default=0) <= MAX_LINKS


@pytest.mark.parametrize("n", [1, 2, 3, 50, 5000])
def test_copies_give_one_edge_less_than_members(n: int) -> None:
    sketch = np.repeat(random_sketches(1, 3), n, axis=0)
    edges, capped = edges_of([7] * n, range(100, 100 + n), sketch)
    assert edges == [(100, 100 + i) for i in range(1, n)]
    assert capped == []


def test_a_template_whose_first_member_is_like_no_other_keeps_the_true_pairs() -> None:
    """A star around the first member would lose all of them."""
    centres = random_sketches(4, 9)
    rng = np.random.default_rng(1)
    members = [flipped(centres[1 + i % 3], rng.choice(128, 3, replace=False).tolist()) for i in range(60)]
    edges, _ = edges_of([0] * 61, range(61), np.stack([centres[0], *members]))
    groups = {frozenset(g) for g in nx.connected_components(nx.Graph(edges))}
    assert groups == {frozenset(range(1 + k, 61, 3)) for k in range(3)}
    assert len(edges) < 3 * 61


def test_a_bucket_of_strangers_gives_no_edges_and_reports_whom_it_could_not_compare() -> None:
    n = MAX_ANCHORS + 20
    sketch = random_sketches(n, 4)
    edges, capped = edges_of([0] * n, range(n), sketch)
    assert edges == [] and capped == list(range(MAX_ANCHORS, n))
    edges, capped = edges_of([0, 0, 0, 0, 1, 1], range(6), sketch[:6], max_anchors=2)
    assert edges == [] and capped == [2, 3], "anchors are counted per bucket"
    like = np.stack([sketch[0], sketch[1], sketch[0], sketch[2]])
    assert edges_of([0] * 4, range(4), like, max_anchors=2) == ([(0, 2)], [3])


def test_no_rows_no_edges() -> None:
    assert edges_of([], [], np.zeros((0, 2), np.uint64)) == ([], [])
    found = candidates([], [], np.zeros((0, 2), np.uint64))
    assert found.capped_pairs() == 0 and found.capped_examples(3) == []


def test_a_bucket_of_copies_takes_linear_time() -> None:
    n = 200_000
    sketch = np.repeat(random_sketches(1, 3), n, axis=0)
    edges_of([0, 0], [1, 2], sketch[:2])
    started = time.perf_counter()
    found = candidates(np.zeros(n), np.arange(n) + 2**60, sketch)
    assert time.perf_counter() - started < 5, "all pairs would be 2 * 10^10"
    assert len(found.low) == n - 1 and set(found.low.tolist()) == {2**60} and set(found.agree.tolist()) == {128}
    assert found.high.tolist() == list(range(2**60 + 1, 2**60 + n))
    assert not len(found.capped)


# ------------------------------------------------------------------------------------------------- what is not compared


def test_pairs_that_were_not_compared_are_counted_bucket_by_bucket() -> None:
    """Two buckets of strangers, one of which has a member too many to tell a pair."""
    found = candidates([0] * 6 + [1] * 4 + [2] * 3, range(13), random_sketches(13, 5), max_anchors=3)
    assert found.capped.tolist() == [3, 4, 5, 9]
    assert [len(set(found.capped_bucket[part].tolist())) for part in (slice(0, 3), slice(2, 4))] == [1, 2]
    assert found.capped_pairs() == 3
    assert found.capped_examples(5) == [(3, 4), (4, 5)] and found.capped_examples(1) == [(3, 4)]


@examples(100)
@given(st.lists(st.integers(0, 60_000), max_size=5))
def test_capped_pairs_are_those_of_each_bucket(sizes: list[int]) -> None:
    nothing = np.zeros(0, np.int64)
    bucket = np.repeat(np.arange(len(sizes)) * 7, sizes)
    members = np.arange(len(bucket))
    found = Candidates(nothing, nothing, nothing.astype(np.int16), members, bucket)
    assert found.capped_pairs() == sum(n * (n - 1) // 2 for n in sizes)
    examples = found.capped_examples(5)
    assert len(examples) == min(5, sum(max(0, n - 1) for n in sizes))
    assert all(a != b and bucket[a] == bucket[b] for a, b in examples)


# ----------------------------------------------------------------------------------------------- against published ones


@examples(300)
@given(buckets(largest=MAX_LINKS + 1), st.data())
def test_published_documents_are_anchors_and_never_linked_to_one_another(
    case: tuple[list[int], list[int], np.ndarray], data: st.DataObject
) -> None:
    """A new member is linked to the likest anchor; two members that the sketch is sure of are connected, or each is
    linked to a published document that it is sure of."""
    keys, ids, sketch = case
    first_new = data.draw(st.sampled_from([0, *ids, ids[-1] + 1]))
    edges, capped = edges_of(keys, ids, sketch, first_new=first_new)
    assert capped == []
    assert all(low < high and high >= first_new for low, high in edges)
    at = {doc: i for i, doc in enumerate(ids)}
    graph = nx.Graph(edges)
    graph.add_nodes_from(ids)
    component = {node: i for i, nodes in enumerate(nx.connected_components(graph)) for node in nodes}

    def best_published(doc: int) -> float:
        ends = [low for low in graph[doc] if low < first_new]
        return max((likeness(sketch[at[low]], sketch[at[doc]]) for low in ends), default=-1.0)

    for i, j in itertools.combinations(range(len(ids)), 2):
        if keys[i] != keys[j] or ids[j] < first_new:
            continue
        sure = likeness(sketch[i], sketch[j])
        if sure >= CLEAR and ids[i] < first_new:
            assert component[ids[i]] == component[ids[j]] or best_published(ids[j]) >= sure
        elif sure >= CLEAR:
            both = min(best_published(ids[i]), best_published(ids[j]))
            assert component[ids[i]] == component[ids[j]] or both >= CLEAR


@examples(60)
@given(buckets(largest=20))
def test_without_published_documents_nothing_changes(case: tuple[list[int], list[int], np.ndarray]) -> None:
    keys, ids, sketch = case
    assert edges_of(keys, ids, sketch, first_new=ids[0]) == edges_of(keys, ids, sketch)
    assert edges_of(keys, ids, sketch, first_new=ids[-1] + 1) == ([], [])


@examples(80)
@given(st.data())
def test_band_keys_are_equal_just_where_the_rows_are(data: st.DataObject) -> None:
    bands, rows = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 4))
    n = data.draw(st.integers(0, 8))
    values = data.draw(st.lists(st.integers(0, 2), min_size=n * bands * rows, max_size=n * bands * rows))
    minima = np.array(values, np.uint32).reshape(n, bands * rows)
    keys = band_keys(minima, bands, rows)
    assert keys.shape == (n, bands)
    seen: dict[int, tuple[int, tuple[int, ...]]] = {}
    for i, band in itertools.product(range(n), range(bands)):
        part = (band, tuple(minima[i, band * rows : (band + 1) * rows].tolist()))
        assert seen.setdefault(int(keys[i, band]), part) == part, "one key, two bands or two contents"
    assert len(seen) == len(set(seen.values()))


def test_bands_that_need_more_permutations_are_refused() -> None:
    with pytest.raises(ValueError, match="22 bands of 6 rows need 132 permutations, found 128"):
        band_keys(np.zeros((1, 128), np.uint32), 22, 6)
