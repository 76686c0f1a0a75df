"""Bands, buckets and the Arrow steps around them: which pairs are proposed, however the rows arrive in batches."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import networkx as nx
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.banding import MAX_ANCHORS, MAX_LINKS, band_keys, bucket_edges
from pipelines import near_steps

ACCEPT, CLEAR = 0.75 - 4 * 0.06, 0.75 + 2 * 0.06


def flipped(base: np.ndarray, bits: list[int]) -> np.ndarray:
    out = base.copy()
    for bit in bits:
        out[bit // 64] ^= np.uint64(1) << np.uint64(bit % 64)
    return out


def likeness(x: np.ndarray, y: np.ndarray) -> float:
    return 1 - 2 * int(np.bitwise_count(x ^ y).sum()) / 128


def edges_of(
    keys: object, ids: object, sketch: np.ndarray, **options: float
) -> tuple[list[tuple[int, int]], list[int]]:
    arguments = {"accept": ACCEPT, "clear": CLEAR, **options}
    low, high, capped = bucket_edges(np.asarray(keys, np.int64), np.asarray(ids, np.int64), sketch, **arguments)
    return list(zip(low.tolist(), high.tolist(), strict=True)), capped.tolist()


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


@settings(max_examples=150, deadline=None)
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


@settings(max_examples=150, deadline=None)
@given(buckets(largest=30))
def test_edges_are_plausible_ordered_and_within_a_bucket(case: tuple[list[int], list[int], np.ndarray]) -> None:
    keys, ids, sketch = case
    edges, _ = edges_of(keys, ids, sketch)
    at = {doc: i for i, doc in enumerate(ids)}
    assert len(set(edges)) == len(edges)
    for low, high in edges:
        assert low < high
        assert keys[at[low]] == keys[at[high]]
        assert likeness(sketch[at[low]], sketch[at[high]]) >= ACCEPT
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


@settings(max_examples=80, deadline=None)
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


# ------------------------------------------------------------------------------------------------ the Arrow steps


def splits(table: pa.Table) -> Iterator[list[pa.RecordBatch]]:
    """Every way of cutting a table into batches, each a slice with an offset of its own."""
    whole = table.combine_chunks().to_batches()[0]
    n = whole.num_rows
    for mask in range(1 << (n - 1)):
        cuts = [0, *(i + 1 for i in range(n - 1) if mask >> i & 1), n]
        yield [whole.slice(a, b - a) for a, b in itertools.pairwise(cuts)]


def test_whole_groups_are_whole_however_the_batches_are_cut() -> None:
    keys = [1, 1, 1, 2, 3, 3, 5, 5, 5]
    table = pa.table({"key": keys, "value": range(9)})
    for batches in splits(table):
        with_gaps = [b for batch in batches for b in (batch.slice(0, 0), batch)] + [batches[0].slice(0, 0)]
        for stream in (batches, with_gaps):
            groups = list(near_steps._whole_groups(iter(stream), "key"))
            seen = [set(group.column("key").to_pylist()) for group in groups]
            assert all(not a & b for a, b in itertools.combinations(seen, 2))
            assert all(group.num_rows for group in groups)
            assert [v for group in groups for v in group.column("value").to_pylist()] == list(range(9))


def test_a_group_of_very_many_batches_stays_one() -> None:
    batch = pa.RecordBatch.from_pydict({"key": [4], "value": [0]})
    assert [g.num_rows for g in near_steps._whole_groups(iter([batch] * 10_050), "key")] == [10_050]
    assert list(near_steps._whole_groups(iter([]), "key")) == []
    assert list(near_steps._whole_groups(iter([batch.slice(0, 0)]), "key")) == []


def rows_of(batches: Iterator[pa.RecordBatch]) -> list[dict[str, object]]:
    return sorted((row for batch in batches for row in batch.to_pylist()), key=str)


def band_table(keys: list[int], sketch: np.ndarray) -> pa.Table:
    halves = sketch.view(np.int64)
    return pa.table({"key": keys, "doc_id": range(len(keys)), "sketch_low": halves[:, 0], "sketch_high": halves[:, 1]})


def test_buckets_do_not_depend_on_batches() -> None:
    a, b = random_sketches(2, 8)
    sketch = np.stack([a, b, a, a, b, b, b, a, b])
    table = band_table([-9, -9, -9, 0, 0, 0, 7, 7, 7], sketch)
    expected = [{"a": 0, "b": 2}, {"a": 4, "b": 5}, {"a": 6, "b": 8}]
    for batches in splits(table):
        assert rows_of(near_steps.run("buckets", {"accept": ACCEPT, "clear": CLEAR}, iter(batches))) == expected


def test_a_capped_document_is_told_by_minus_one() -> None:
    n = MAX_ANCHORS + 2
    found = list(near_steps.buckets(iter(band_table([1] * n, random_sketches(n, 2)).to_batches()), ACCEPT, CLEAR))
    assert rows_of(iter(found)) == [{"a": MAX_ANCHORS, "b": -1}, {"a": MAX_ANCHORS + 1, "b": -1}]
    assert {str(batch.schema.field("b").type) for batch in found} == {"int64"}


def test_bands_of_batches_with_offsets() -> None:
    minima = np.random.default_rng(3).integers(0, 2**32, (5, 128)).astype(np.uint32)
    ids = np.arange(5, dtype=np.int64) + 2**60
    sketch = random_sketches(5, 5).view(np.int64)
    batch = pa.RecordBatch.from_pydict({
        "doc_id": ids, "sketch_low": sketch[:, 0], "sketch_high": sketch[:, 1],
        "signature": pa.array([row.tobytes() for row in minima], pa.binary()),
    })  # fmt: skip
    keys = band_keys(minima, 21, 6)
    expected = sorted((int(keys[i, b]), int(ids[i]), *sketch[i].tolist()) for i in range(5) for b in range(21))
    for parts in ([batch], [batch.slice(0, 2), batch.slice(2, 0), batch.slice(2)]):
        found = near_steps.run("bands", {"bands": 21, "rows": 6, "num_perm": 128}, iter(parts))
        assert sorted(tuple(row.values()) for b in found for row in b.to_pylist()) == expected
