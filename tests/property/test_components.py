"""Components equal networkx's; the election keeps its promises on any component."""

from __future__ import annotations

import itertools
import time

import networkx as nx
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.components import connected_components
from dedup.survivors import elect
from dedup.verify import jaccard_sorted, pair_similarities
from pipelines import near_steps

EDGES = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=60)


def components_of(edges: list[tuple[int, int]]) -> dict[int, int]:
    pairs = np.array(edges, np.int64).reshape(-1, 2)
    nodes, component = connected_components(pairs[:, 0], pairs[:, 1])
    assert nodes.tolist() == sorted(set(nodes.tolist()))
    return dict(zip(nodes.tolist(), component.tolist(), strict=True))


@settings(max_examples=300, deadline=None)
@given(EDGES, st.integers(1, 2**57), st.randoms(use_true_random=False))
def test_components_equal_those_of_networkx(edges: list[tuple[int, int]], step: int, random) -> None:  # type: ignore[no-untyped-def]
    edges = [(a * step, b * step) for a, b in edges]
    expected = {node: min(nodes) for nodes in nx.connected_components(nx.Graph(edges)) for node in nodes}
    assert components_of(edges) == expected
    changed = [edge if random.random() < 0.5 else edge[::-1] for edge in edges + edges[:5]]
    changed += [(edge[0], edge[0]) for edge in edges[:3]]
    random.shuffle(changed)
    assert components_of(changed) == expected


@pytest.mark.parametrize("order", ["forth", "back", "random"])
def test_a_path_of_ten_thousand_nodes(order: str) -> None:
    left = np.arange(10_000, dtype=np.int64)
    left = {"forth": left, "back": left[::-1], "random": np.random.default_rng(1).permutation(left)}[order]
    nodes, component = connected_components(left + 5, left + 6)
    assert len(nodes) == 10_001 and set(component.tolist()) == {5}


def test_a_star_of_a_million_nodes_is_fast() -> None:
    leaves = np.random.default_rng(1).permutation(np.arange(1, 1_000_001, dtype=np.int64))
    for centre in (0, 2**60):
        started = time.perf_counter()
        nodes, component = connected_components(np.full(1_000_000, centre), leaves)
        assert len(nodes) == 1_000_001 and (component == min(1, centre)).all()
        assert time.perf_counter() - started < 10


def test_no_edges_no_nodes() -> None:
    empty = np.zeros(0, np.int64)
    assert [len(part) for part in connected_components(empty, empty)] == [0, 0]


# ------------------------------------------------------------------------------------------------- exact overlap

SETS = st.lists(st.sets(st.integers(0, 2**64 - 1) | st.integers(0, 40), max_size=30), min_size=1, max_size=6)


def packed(sets: list[set[int]]) -> tuple[np.ndarray, np.ndarray]:
    ptr = np.cumsum([0, *map(len, sets)]).astype(np.int64)
    return ptr, np.array([h for s in sets for h in sorted(s)], np.uint64)


def overlap(a: set[int], b: set[int], modulus: int) -> float:
    a, b = ({h for h in s if h % modulus == 0} for s in (a, b))
    return len(a & b) / len(a | b) if a | b else 0.0


@settings(max_examples=200, deadline=None)
@given(SETS, st.data())
def test_similarities_equal_those_of_python_sets(sets: list[set[int]], data: st.DataObject) -> None:
    moduli = data.draw(st.lists(st.sampled_from([1, 2, 4, 8]), min_size=len(sets), max_size=len(sets)))
    kept = [{h for h in s if h % m == 0} for s, m in zip(sets, moduli, strict=True)]
    pairs = list(itertools.product(range(len(sets)), repeat=2))
    left, right = (np.array(side, np.int64) for side in zip(*pairs, strict=True))
    ptr, hashes = packed(kept)
    found = pair_similarities(ptr, hashes, np.array(moduli, np.int64), left, right)
    for (i, j), value in zip(pairs, found.tolist(), strict=True):
        assert value == pytest.approx(overlap(sets[i], sets[j], max(moduli[i], moduli[j])), abs=1e-6)


def binaries(sets: list[set[int]]) -> pa.Array:
    return pa.array([np.array(sorted(s), np.uint64).tobytes() for s in sets], pa.binary())


@settings(max_examples=60, deadline=None)
@given(SETS, SETS, st.integers(0, 4), st.sampled_from([0.25, 0.5, 0.8, 1.0]))
def test_the_verify_step_keeps_just_the_similar_pairs(
    a: list[set[int]], b: list[set[int]], cut: int, least: float
) -> None:
    n = min(len(a), len(b))
    a, b = a[:n], [s | set(itertools.islice(t, 9)) for s, t in zip(a, b, strict=False)]
    batch = pa.RecordBatch.from_pydict({
        "a": pa.array(range(n), pa.int64()), "b": pa.array(range(100, 100 + n), pa.int64()),
        "modulus_a": pa.array([1] * n, pa.int64()), "modulus_b": pa.array([1] * n, pa.int64()),
        "hashes_a": binaries(a), "hashes_b": binaries(b),
    })  # fmt: skip
    expected = [(i, 100 + i, overlap(a[i], b[i], 1)) for i in range(n) if overlap(a[i], b[i], 1) >= least]
    parts = [batch.slice(0, cut), batch.slice(cut), batch.slice(0, 0)]
    found = [tuple(row.values()) for part in near_steps.verify(iter(parts), least) for row in part.to_pylist()]
    assert [row[:2] for row in found] == [row[:2] for row in expected]
    assert [row[2] for row in found] == pytest.approx([row[2] for row in expected], abs=1e-6)


def test_the_threshold_itself_is_enough() -> None:
    """4 of 5 is 0.8 in float32 too, whatever 0.8 is in float64."""
    for both, either in ((4, 5), (7, 10), (3, 4), (2, 3), (9, 10)):
        a, b = np.arange(either, dtype=np.uint64), np.arange(both, dtype=np.uint64)
        assert jaccard_sorted(a, b, 1) >= np.float32(both / either)


# ------------------------------------------------------------------------------------------------------ election


@st.composite
def components(draw: st.DrawFn) -> tuple[list[set[int]], list[float], list[int], list[int]]:
    base = draw(st.lists(st.integers(0, 60), min_size=6, max_size=24, unique=True))
    n = draw(st.integers(1, 9))
    keep = st.lists(st.sampled_from(base), min_size=1, max_size=len(base), unique=True)
    sets = [set(draw(keep)) | set(draw(st.lists(st.integers(100, 104), max_size=2))) for _ in range(n)]
    quality = draw(st.lists(st.sampled_from([float("nan"), 0.5, 0.501, 0.2, 0.9, 1.0]), min_size=n, max_size=n))
    length = draw(st.lists(st.integers(1, 3), min_size=n, max_size=n))
    ids = draw(st.lists(st.integers(0, 2**62), min_size=n, max_size=n, unique=True))
    return sets, quality, length, ids


def elected(
    sets: list[set[int]], quality: list[float], length: list[int], ids: list[int], least: float
) -> dict[int, tuple[int, float]]:
    ptr, hashes = packed(sets)
    survivor, similarity = elect(
        ptr, hashes, np.ones(len(ids), np.int64), np.array(quality, np.float32), np.array(length, np.int64),
        np.array(ids, np.int64), least,
    )  # fmt: skip
    return {ids[i]: (ids[survivor[i]], float(similarity[i])) for i in range(len(ids))}


@settings(max_examples=300, deadline=None)
@given(components(), st.sampled_from([0.3, 0.6, 0.8]), st.randoms(use_true_random=False))
def test_the_promises_of_an_election(case, least: float, random) -> None:  # type: ignore[no-untyped-def]
    sets, quality, length, ids = case
    found = elected(*case, least)
    at = {doc: i for i, doc in enumerate(ids)}

    def rank(doc: int) -> tuple[int, int, int]:
        q = quality[at[doc]]
        return -int(np.round(np.float32(0.5 if q != q else q) * np.float32(100))), -length[at[doc]], doc

    survivors = {survivor for survivor, _ in found.values()}
    for doc, (survivor, similarity) in found.items():
        true = overlap(sets[at[doc]], sets[at[survivor]], 1)
        assert found[survivor] == (survivor, 1.0), "a survivor survives"
        assert similarity == pytest.approx(true, abs=1e-6)
        assert true >= least - 1e-6
        assert rank(survivor) <= rank(doc)
    for a, b in itertools.combinations(sorted(survivors), 2):
        assert overlap(sets[at[a]], sets[at[b]], 1) < least + 1e-6
    assert min(ids, key=rank) in survivors
    order = list(range(len(ids)))
    random.shuffle(order)
    assert elected(*([part[i] for i in order] for part in case), least) == found


def test_a_chain_whose_ends_differ_keeps_both_ends_or_its_middle() -> None:
    a, b, c = set(range(0, 8)), set(range(2, 10)), set(range(4, 12))
    assert overlap(a, b, 1) == overlap(b, c, 1) == 0.6 and overlap(a, c, 1) == pytest.approx(1 / 3)
    best_in_the_middle = elected([a, b, c], [0.1, 0.9, 0.1], [1, 1, 1], [1, 2, 3], 0.5)
    assert {doc: s for doc, (s, _) in best_in_the_middle.items()} == {1: 2, 2: 2, 3: 2}
    best_at_an_end = elected([a, b, c], [0.9, 0.1, 0.1], [1, 1, 1], [1, 2, 3], 0.5)
    assert {doc: s for doc, (s, _) in best_at_an_end.items()} == {1: 1, 2: 1, 3: 3}


def test_a_member_at_the_threshold_itself_is_taken_out() -> None:
    found = elected([set(range(5)), set(range(4))], [0.5, 0.5], [2, 1], [1, 2], 0.8)
    assert {doc: s for doc, (s, _) in found.items()} == {1: 1, 2: 1}


def test_ties_go_by_quality_in_hundredths_then_length_then_id() -> None:
    same = [set(range(10))] * 3

    def winner(quality: list[float], length: list[int], ids: list[int]) -> int:
        return next(iter({s for s, _ in elected(same, quality, length, ids, 0.5).values()}))

    assert winner([0.5, 0.5, 0.5], [1, 1, 1], [9, 4, 7]) == 4
    assert winner([0.5, 0.504, 0.496], [1, 1, 2], [9, 4, 7]) == 7
    assert winner([0.5, 0.52, 0.5], [9, 1, 9], [9, 4, 7]) == 4
    assert winner([float("nan"), 0.49, 0.48], [1, 9, 9], [9, 4, 7]) == 9, "unknown counts as 0.5"
    assert winner([float("nan"), 0.52, 0.5], [9, 1, 9], [1, 4, 7]) == 4


def test_sets_without_a_common_sample_do_not_resemble_each_other() -> None:
    """Both empty at the larger modulus: no evidence, so nothing is dropped."""
    ptr, hashes = packed([{2, 6}, {4}])
    survivor, _ = elect(
        ptr, hashes, np.array([2, 8]), np.zeros(2, np.float32), np.ones(2, np.int64), np.array([1, 2]), 0.5
    )
    assert survivor.tolist() == [0, 1]


def test_the_elect_step_does_not_depend_on_batches() -> None:
    sets = [set(range(8)), set(range(9)), set(range(20, 30)), set(range(20, 31)), set(range(1, 9)), {99}]
    table = pa.table({
        "component": pa.array([1, 1, 3, 3, 3, 6], pa.int64()), "doc_id": pa.array([1, 2, 3, 4, 5, 6], pa.int64()),
        "bytes": pa.array([5, 9, 7, 7, 1, 1], pa.int32()),
        "quality": pa.array([None, None, 0.9, None, 0.3, None], pa.float32()),
        "modulus": pa.array([1] * 6, pa.int64()), "hashes": binaries(sets),
    })  # fmt: skip
    expected = {1: 2, 2: 2, 3: 3, 4: 3, 5: 5, 6: 6}
    whole = table.to_batches()[0]
    for mask in range(1 << 5):
        cuts = [0, *(i + 1 for i in range(5) if mask >> i & 1), 6]
        batches = [whole.slice(a, b - a) for a, b in itertools.pairwise(cuts)]
        found = [row for b in near_steps.run("elect", {"threshold": 0.75}, iter(batches)) for row in b.to_pylist()]
        assert {row["doc_id"]: row["survivor"] for row in found} == expected
        assert [row["component"] for row in found] == [1, 1, 3, 3, 3, 6]
        assert {row["doc_id"]: row["similarity"] for row in found}[1] == pytest.approx(8 / 9)
