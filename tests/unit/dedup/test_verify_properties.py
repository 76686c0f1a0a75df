"""Verification and election equal comparing all pairs with Python sets, and keep their promises on any component."""

from __future__ import annotations

import itertools
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.banding import jaccard_of_containment
from dedup.resolve import resolve
from dedup.verify import containment_sorted, jaccard_sorted, sampled
from pipelines.stages.near_dedup.stage import NearDedupDecision
from tests.oracles.dedup import (
    Document,
    Edge,
    all_pairs,
    all_pairs_and_meanings,
    as_arrays,
    contained,
    overlap,
    packed,
    resolved,
    resolved_with_meanings,
)
from tests.support.examples import examples

HASHES = st.integers(0, 2**64 - 1) | st.integers(0, 40)
SETS = st.lists(st.sets(HASHES, max_size=30), min_size=1, max_size=6)
NAN = float("nan")

# ----------------------------------------------------------------------------------------------------- exact overlap


@examples(200)
@given(SETS, st.data())
def test_similarities_equal_those_of_python_sets(sets: list[set[int]], data: st.DataObject) -> None:
    moduli = data.draw(st.lists(st.sampled_from([1, 2, 4, 8]), min_size=len(sets), max_size=len(sets)))
    kept = [frozenset(h for h in s if h % m == 0) for s, m in zip(sets, moduli, strict=True)]
    documents = [Document(i, 0, i, i, s, m) for i, (s, m) in enumerate(zip(kept, moduli, strict=True))]
    pairs = list(itertools.product(range(len(sets)), repeat=2))
    _, _, found = resolved(documents, pairs, 0.5, 0)
    for i, j in pairs:
        expected = overlap(sets[i], sets[j], max(moduli[i], moduli[j])) if i != j else 1.0
        assert found[i, j][0] == pytest.approx(expected, abs=1e-6)
        arrays = (np.array(sorted(kept[k]), np.uint64) for k in (i, j))
        direct = float(jaccard_sorted(*arrays, max(moduli[i], moduli[j])))
        assert direct == pytest.approx(overlap(sets[i], sets[j], max(moduli[i], moduli[j])), abs=1e-6)


@examples(200)
@given(SETS, st.sampled_from([0.1, 0.5, 0.8, 1.0]), st.data())
def test_containments_equal_those_of_python_sets(sets: list[set[int]], ratio: float, data: st.DataObject) -> None:
    moduli = data.draw(st.lists(st.sampled_from([1, 2, 4]), min_size=len(sets), max_size=len(sets)))
    kept = [frozenset(h for h in s if h % m == 0) for s, m in zip(sets, moduli, strict=True)]
    documents = [Document(i, 0, i, i, s, m) for i, (s, m) in enumerate(zip(kept, moduli, strict=True))]
    pairs = list(itertools.permutations(range(len(sets)), 2))
    _, _, found = resolved(documents, pairs, 0.5, 0, ratio)
    for i, j in pairs:
        expected = contained(sets[i], sets[j], max(moduli[i], moduli[j]), ratio)
        assert found[i, j][0] == pytest.approx(expected, abs=1e-6)
        assert found[i, j] == found[j, i]


def test_a_part_is_contained_whole_and_only_where_the_sizes_allow_it() -> None:
    whole, part = (np.arange(n, dtype=np.uint64) for n in (10, 8))
    nothing = np.zeros(0, np.uint64)
    assert containment_sorted(whole, part, 1, 0.8) == containment_sorted(part, whole, 1, 0.8) == 1
    assert containment_sorted(whole, part, 1, 0.81) == 0
    assert containment_sorted(whole, part + np.uint64(4), 1, 0.5) == 0.75
    assert containment_sorted(nothing, nothing, 1, 0.5) == containment_sorted(nothing, part, 1, 0.5) == 0


@examples(300)
@given(st.sets(st.integers(0, 30), min_size=1), st.sets(st.integers(0, 30), min_size=1))
def test_bands_and_sketch_are_set_by_what_jaccard_and_containment_say_of_each_other(a: set[int], b: set[int]) -> None:
    jaccard, ratio = overlap(a, b), min(len(a), len(b)) / max(len(a), len(b))
    containment = contained(a, b)
    assert jaccard == pytest.approx(jaccard_of_containment(containment, ratio), abs=1e-12)
    for wider in (ratio, ratio / 2):
        for less in (containment, containment / 2):
            assert jaccard_of_containment(less, wider) <= jaccard + 1e-12, "no pair that counts lies below the floor"
    assert containment >= jaccard and ratio >= jaccard - 1e-12, "above both bounds a pair is clearly the same"


def test_what_the_bands_must_find_when_containment_is_asked() -> None:
    strict = NearDedupDecision(threshold=0.9, min_size_ratio=0.8, similarity="containment", bands=25, rows=5)
    assert strict.least_jaccard() == pytest.approx(0.72 / 1.08)
    assert strict.clearly_the_same() == 0.97
    assert NearDedupDecision(threshold=0.75).least_jaccard() == 0.75
    loose = NearDedupDecision(threshold=0.7, min_size_ratio=0.8, similarity="containment", bands=40, rows=3)
    assert loose.clearly_the_same() == pytest.approx(0.92), "half the size, and all of it: not the same"


@examples(60)
@given(SETS, SETS, st.sampled_from([0.25, 0.5, 0.8, 1.0]), st.randoms(use_true_random=False))
def test_just_the_similar_pairs_hold(a: list[set[int]], b: list[set[int]], least: float, random: Random) -> None:
    n = min(len(a), len(b))
    a, b = a[:n], [s | set(itertools.islice(t, 9)) for s, t in zip(a, b, strict=False)]
    documents = [Document(i, i, i, i, frozenset(s)) for i, s in enumerate(a)]
    documents += [Document(100 + i, i, 100 + i, 50 + i, frozenset(s)) for i, s in enumerate(b)]
    edges = [(i, 100 + i) for i in range(n)]
    random.shuffle(edges)
    _, _, found = resolved(documents, edges, least, 0)
    for i in range(n):
        similarity, by_shingles, holds = found[i, 100 + i]
        assert similarity == pytest.approx(overlap(a[i], b[i]), abs=1e-6)
        assert by_shingles and holds == (overlap(a[i], b[i]) >= least)


def test_the_threshold_itself_is_enough() -> None:
    """4 of 5 is 0.8 in float32 too, whatever 0.8 is in float64."""
    for both, either in ((4, 5), (7, 10), (3, 4), (2, 3), (9, 10)):
        a, b = np.arange(either, dtype=np.uint64), np.arange(both, dtype=np.uint64)
        assert jaccard_sorted(a, b, 1) >= np.float32(both / either)
        documents = [Document(1, 1, 1, 1, frozenset(range(either))), Document(2, 1, 2, 2, frozenset(range(both)))]
        assert resolved(documents, [(1, 2)], both / either, 0)[2][1, 2][2]


@examples(200)
@given(st.lists(st.tuples(st.sets(HASHES, max_size=40), st.sampled_from([1, 2, 4]), st.integers(2, 40)), max_size=5))
def test_sets_are_sampled_by_the_least_modulus_that_brings_them_down(cases: list[tuple[set[int], int, int]]) -> None:
    kept = [{h for h in s if h % m == 0} for s, m, _ in cases]
    expected, moduli = [], []
    for hashes, (_, modulus, limit) in zip(kept, cases, strict=True):
        while len([h for h in hashes if h % modulus == 0]) > limit:
            modulus *= 2
        expected.append(sorted(h for h in hashes if h % modulus == 0))
        moduli.append(modulus)
    before = (*packed(kept), np.array([m for _, m, _ in cases], np.int64))
    limits = np.array([limit for _, _, limit in cases], np.int64)
    ptr, hashes, modulus = sampled(*before, limits)
    assert [hashes[a:b].tolist() for a, b in itertools.pairwise(ptr.tolist())] == expected
    assert modulus.tolist() == moduli
    assert ptr.dtype == np.int64 and hashes.dtype == np.uint64 and modulus.dtype == np.int64
    again = sampled(ptr, hashes, modulus, limits)
    assert all(x is y for x, y in zip(again, (ptr, hashes, modulus), strict=True)), "nothing to do: nothing is copied"


# ------------------------------------------------------------------------------------------------------ all pairs


@st.composite
def candidates(draw: st.DrawFn) -> tuple[list[Document], list[tuple[int, int]]]:
    """Some candidate components: sketches around one centre, twins, published ones, sets at several moduli or none."""
    base = draw(st.lists(HASHES, min_size=6, max_size=16, unique=True))
    keep = st.frozensets(st.sampled_from(base), min_size=1)
    far = draw(st.sampled_from([0, 2**62]))
    documents: list[Document] = []
    edges: set[tuple[int, int]] = set()
    for component in range(draw(st.integers(0, 3))):
        decided = draw(st.booleans())
        alone: list[Document] = []
        for _ in range(draw(st.integers(1, 7))):
            doc_id = far + 2 * len(documents)
            modulus = draw(st.sampled_from([1, 1, 2, 4]))
            common = {
                "merit": draw(st.integers(-1, 1)),
                "quality": draw(st.sampled_from([NAN, 0.5, 0.501, 0.2, 0.9])),
                "length": draw(st.integers(1, 3)),
                "final": draw(st.sampled_from([False, False, True])),
                "outlying": draw(st.sampled_from([NAN, 0.0, 0.25, 0.5, 1.5])),
            }
            first = draw(st.sampled_from(alone)) if alone and draw(st.integers(0, 2)) == 0 else None
            if first is not None:
                documents.append(Document(doc_id, component, first.doc_id, first.bits, None, **common))
                edges.add((first.doc_id, doc_id))
                continue
            bits = sum(1 << b for b in draw(st.lists(st.integers(0, 127), max_size=20, unique=True)))
            shingles = None if decided else frozenset(h for h in draw(keep) if h % modulus == 0)
            alone.append(Document(doc_id, component, doc_id, bits, shingles, modulus, **common))
            documents.append(alone[-1])
        pairs = [(a.doc_id, b.doc_id) for a, b in itertools.combinations(alone, 2)]
        edges |= set(draw(st.lists(st.sampled_from(pairs), max_size=8))) if pairs else set()
    return documents, sorted(edges)


@examples(600)
@given(
    candidates(),
    st.sampled_from([0.3, 0.6, 0.75, 0.8]),
    st.sampled_from([0, 97, 112, 120]),
    st.sampled_from([0.0, 0.0, 0.4, 0.8]),
)
def test_resolve_equals_comparing_all_pairs(
    case: tuple[list[Document], list[tuple[int, int]]], least: float, reject: int, ratio: float
) -> None:
    found, expected = (f(*case, least, reject, ratio) for f in (resolved, all_pairs))
    assert found[0] == expected[0]
    assert found[1] == expected[1]
    assert found[2] == expected[2]
    for document in case[0]:
        assert not document.final or found[1][document.doc_id] == (document.doc_id, 1.0), "published, and dropped"


@st.composite
def meanings(draw: st.DrawFn) -> tuple[list[Document], list[Edge], dict[Edge, float]]:
    """The same where some edges of representatives, found by the bands or not, have a cosine."""
    documents, edges = draw(candidates())
    alone = [d for d in documents if d.rep == d.doc_id]
    pairs = [(a.doc_id, b.doc_id) for a, b in itertools.combinations(alone, 2) if a.component == b.component]
    chosen = draw(st.lists(st.sampled_from(pairs), max_size=8, unique=True)) if pairs else []
    cosine = {edge: draw(st.sampled_from([0.0, 0.5, 0.9375, 0.984375, 1.0])) for edge in chosen}
    return documents, sorted({*edges, *cosine}), cosine


@examples(600)
@given(
    meanings(),
    st.sampled_from([0.3, 0.6, 0.8]),
    st.sampled_from([0, 97, 120]),
    st.sampled_from([0.0, 0.0, 0.4]),
    st.booleans(),
)
def test_edges_by_meaning_equal_comparing_all_pairs(
    case: tuple[list[Document], list[Edge], dict[Edge, float]], least: float, reject: int, ratio: float, furthest: bool
) -> None:
    documents, edges, cosine = case
    both = (resolved_with_meanings, all_pairs_and_meanings)
    (found, by_meaning), (expected, meant) = (f(documents, edges, least, reject, ratio, cosine, furthest) for f in both)
    assert found[0] == expected[0]
    assert found[1] == expected[1]
    assert found[2] == expected[2]
    assert by_meaning == meant
    turned = [edge[::-1] for edge in reversed(edges)]
    again, by_meaning = resolved_with_meanings(
        documents, turned, least, reject, ratio, {e[::-1]: c for e, c in cosine.items()}, furthest
    )
    assert again[:2] == expected[:2] and by_meaning == meant


@examples(100)
@given(candidates(), st.sampled_from([0.3, 0.8]), st.sampled_from([0.0, 0.4]))
def test_no_edge_by_meaning_changes_nothing(
    case: tuple[list[Document], list[Edge]], least: float, ratio: float
) -> None:
    found, by_meaning = resolved_with_meanings(*case, least, 97, ratio, {})
    assert found == resolved(*case, least, 97, ratio) and not by_meaning


def test_an_edge_by_meaning_holds_whatever_the_shingles_say() -> None:
    documents = [Document(1, 0, 1, 0, frozenset({1, 2})), Document(2, 0, 2, 2**64 - 1, frozenset({3}), merit=2)]
    found, by_meaning = resolved_with_meanings(documents, [(1, 2)], 0.75, 97, meaning={(1, 2): 0.9375})
    assert found == ({1: 1, 2: 1}, {1: (2, 0.9375), 2: (2, 1.0)}, {(1, 2): (0.9375, 2, True)})
    assert by_meaning == {1}


def test_shingles_that_agree_are_told_before_the_cosine() -> None:
    same = frozenset(range(9))
    documents = [Document(1, 0, 1, 0, same), Document(2, 0, 2, 0, same)]
    found, by_meaning = resolved_with_meanings(documents, [(1, 2)], 0.75, 97, meaning={(1, 2): 0.9375})
    assert found == ({1: 1, 2: 1}, {1: (1, 1.0), 2: (1, 1.0)}, {(1, 2): (1.0, 1, True)}) and not by_meaning


def test_a_chain_by_meaning_keeps_the_end_that_means_something_else() -> None:
    documents = [Document(i, 0, i, i * 2**40) for i in (1, 2, 3)]
    edges = {(1, 2): 0.9375, (2, 3): 0.9375}
    found, by_meaning = resolved_with_meanings(documents, list(edges), 0.99, 129, meaning=edges)
    assert found[0] == {1: 1, 2: 1, 3: 1} and found[1] == {1: (1, 1.0), 2: (1, 0.9375), 3: (3, 1.0)}
    assert by_meaning == {2}


def test_where_cosines_decide_a_sketch_alone_takes_nobody() -> None:
    """In a component by meaning no sets are read, and a pair without an edge has been accepted by nobody."""
    near_by_chance = [Document(1, 0, 1, 0), Document(2, 0, 2, 2**100 - 1), Document(3, 0, 3, 0b1111)]
    edges = {(1, 2): 0.9375, (2, 3): 0.9375}
    found, by_meaning = resolved_with_meanings(near_by_chance, list(edges), 0.75, 97, meaning=edges)
    assert found[1] == {1: (1, 1.0), 2: (1, 0.9375), 3: (3, 1.0)} and by_meaning == {2}


def test_a_twin_goes_with_the_edge_by_meaning_of_its_representative() -> None:
    documents = [Document(1, 0, 1, 0, merit=9), Document(2, 0, 2, 2**128 - 1), Document(3, 0, 2, 2**128 - 1)]
    found, by_meaning = resolved_with_meanings(documents, [(1, 2), (2, 3)], 0.75, 97, meaning={(1, 2): 0.9375})
    assert found[1] == {1: (1, 1.0), 2: (1, 0.9375), 3: (1, 0.9375)} and by_meaning == {2, 3}
    published = [documents[0], replace(documents[1], final=True), documents[2]]
    found, by_meaning = resolved_with_meanings(published, [(1, 2), (2, 3)], 0.75, 97, meaning={(1, 2): 0.9375})
    assert found[1] == {1: (2, 0.9375), 2: (2, 1.0), 3: (2, 1.0)} and by_meaning == {1}


def test_the_furthest_from_its_centroid_stays_before_quality() -> None:
    common = {"shingles": frozenset(range(9)), "length": 1}
    documents = [
        Document(1, 0, 1, 0, quality=0.9, outlying=0.1, **common),
        Document(2, 0, 2, 0, quality=0.1, outlying=0.2, **common),
        Document(3, 0, 3, 0, quality=0.9, outlying=NAN, **common),
    ]
    edges = [(1, 2), (2, 3)]

    def survivor(documents: list[Document], furthest: bool) -> set[int]:
        found, _ = resolved_with_meanings(documents, edges, 0.5, 0, furthest=furthest)
        return {s for s, _ in found[1].values()}

    assert survivor(documents, True) == {2}
    assert survivor(documents, False) == {1}
    assert survivor([replace(documents[0], final=True), *documents[1:]], True) == {1}, "what is published stays"
    assert survivor([replace(d, outlying=NAN) for d in documents], True) == {1}, "unknown distances: by quality"


@examples(150)
@given(candidates(), st.randoms(use_true_random=False))
def test_the_order_and_direction_of_edges_do_not_matter(
    case: tuple[list[Document], list[tuple[int, int]]], random: Random
) -> None:
    documents, edges = case
    before = resolved(documents, edges, 0.6, 97)
    turned = [edge if random.random() < 0.5 else edge[::-1] for edge in edges]
    random.shuffle(turned)
    after = resolved(documents, turned, 0.6, 97)
    assert after[:2] == before[:2]
    assert {tuple(sorted(edge)): said for edge, said in after[2].items()} == before[2]


def test_nothing_is_resolved_to_nothing() -> None:
    assert resolved([], [], 0.75, 97) == ({}, {}, {})


def test_components_do_not_touch_each_other() -> None:
    """Equal sets in two candidate components: nobody asked whether they are alike."""
    same = frozenset(range(9))
    found = resolved([Document(1, 1, 1, 0, same), Document(2, 2, 2, 0, same)], [], 0.5, 0)
    assert found == ({1: -1, 2: -1}, {1: (1, 1.0), 2: (2, 1.0)}, {})


# ------------------------------------------------------------------------------------------------------ election


@st.composite
def components(draw: st.DrawFn) -> tuple[list[set[int]], list[int], list[float], list[int], list[int]]:
    base = draw(st.lists(st.integers(0, 60), min_size=6, max_size=24, unique=True))
    n = draw(st.integers(1, 9))
    keep = st.lists(st.sampled_from(base), min_size=1, max_size=len(base), unique=True)
    sets = [set(draw(keep)) | set(draw(st.lists(st.integers(100, 104), max_size=2))) for _ in range(n)]
    merit = draw(st.lists(st.integers(-100, 100), min_size=n, max_size=n))
    quality = draw(st.lists(st.sampled_from([0.5, 0.501, 0.2, 0.9, 1.0]), min_size=n, max_size=n))
    length = draw(st.lists(st.integers(1, 3), min_size=n, max_size=n))
    ids = draw(st.lists(st.integers(0, 2**62), min_size=n, max_size=n, unique=True))
    return sets, merit, quality, length, ids


def elected(
    sets: list[set[int]], merit: list[int], quality: list[float], length: list[int], ids: list[int], least: float
) -> dict[int, tuple[int, float]]:
    """The election in one candidate component in which everybody is a candidate for everybody."""
    documents = [
        Document(doc_id, 0, doc_id, 0, frozenset(s), 1, m, 100, q, n)
        for s, m, q, n, doc_id in zip(sets, merit, quality, length, ids, strict=True)
    ]
    return resolved(documents, list(itertools.combinations(ids, 2)), least, 0)[1]


@examples(300)
@given(components(), st.sampled_from([0.3, 0.6, 0.8]), st.randoms(use_true_random=False))
def test_the_promises_of_an_election(case, least: float, random) -> None:  # type: ignore[no-untyped-def]
    sets, merit, quality, length, ids = case
    found = elected(*case, least)
    at = {doc: i for i, doc in enumerate(ids)}

    def rank(doc: int) -> tuple[int, int, int]:
        hundredths = int(np.round(np.float32(quality[at[doc]]) * np.float32(100)))
        return -(merit[at[doc]] + 50 * hundredths), length[at[doc]], doc

    survivors = {survivor for survivor, _ in found.values()}
    for doc, (survivor, similarity) in found.items():
        true = overlap(sets[at[doc]], sets[at[survivor]])
        assert found[survivor] == (survivor, 1.0), "a survivor survives"
        assert similarity == pytest.approx(true, abs=1e-6)
        assert true >= least - 1e-6
        assert rank(survivor) <= rank(doc)
    for a, b in itertools.combinations(sorted(survivors), 2):
        assert overlap(sets[at[a]], sets[at[b]]) < least + 1e-6
    assert min(ids, key=rank) in survivors
    order = list(range(len(ids)))
    random.shuffle(order)
    assert elected(*([part[i] for i in order] for part in case), least) == found


def test_a_chain_whose_ends_differ_keeps_both_ends_or_its_middle() -> None:
    a, b, c = set(range(0, 8)), set(range(2, 10)), set(range(4, 12))
    assert overlap(a, b) == overlap(b, c) == 0.6 and overlap(a, c) == pytest.approx(1 / 3)
    best_in_the_middle = elected([a, b, c], [0, 0, 0], [0.1, 0.9, 0.1], [1, 1, 1], [1, 2, 3], 0.5)
    assert {doc: s for doc, (s, _) in best_in_the_middle.items()} == {1: 2, 2: 2, 3: 2}
    best_at_an_end = elected([a, b, c], [9, 1, 1], [NAN] * 3, [1, 1, 1], [1, 2, 3], 0.5)
    assert {doc: s for doc, (s, _) in best_at_an_end.items()} == {1: 1, 2: 1, 3: 3}


def test_a_member_at_the_threshold_itself_is_taken_out() -> None:
    found = elected([set(range(5)), set(range(4))], [0, 0], [0.5, 0.5], [1, 2], [1, 2], 0.8)
    assert {doc: s for doc, (s, _) in found.items()} == {1: 1, 2: 1}


def test_merit_with_quality_decides_then_the_fewest_bytes_then_priority_then_the_id() -> None:
    same = frozenset(range(10))

    def winner(*documents: dict[str, Any], priority: list[int] | None = None) -> int:
        members, sets = as_arrays([Document(i, 0, i, 0, same, **d) for i, d in enumerate(documents)])
        if priority:
            members = replace(members, priority=np.array(priority))
        pairs = np.array(list(itertools.combinations(range(len(documents)), 2)), np.int64)
        (found,) = set(resolve(members, sets, pairs[:, 0], pairs[:, 1], 0.5, 0).survivor.tolist())
        return found

    assert winner({}, {}, {}) == 0
    assert winner({"length": 2}, {"length": 1}) == 1, "of equals the one of fewest bytes"
    assert winner({"merit": 1, "length": 2}, {"length": 1}) == 0, "merit first"
    assert winner({}, {}, {}, priority=[2, 1, 1]) == 1
    assert winner({"merit": 1}, {}, priority=[2, 1]) == 0 and winner({"length": 1}, {"length": 2}, priority=[2, 1]) == 0
    half, more = {"quality": 0.5}, {"quality": 0.52}
    assert winner(half, more) == 1 and winner(half, {"quality": 0.504}) == 0, "in hundredths"
    assert winner({**half, "merit": 99}, more) == 1, "2 hundredths of quality are a token in a hundred"
    assert winner({**half, "merit": 101}, more) == 0
    assert winner({"quality": NAN}, half, {"quality": 0.9}) == 0, "one without quality: it counts for none of them"


def test_by_containment_merit_decides_too() -> None:
    whole, part = Document(2, 0, 2, 0, frozenset(range(10)), merit=100), frozenset(range(9))
    documents = [Document(1, 0, 1, 0, part, merit=90), whole]
    assert resolved(documents, [(1, 2)], 0.95, 0, 0.5)[1] == {1: (2, 1.0), 2: (2, 1.0)}
    bannered = replace(whole, merit=80)
    assert resolved([documents[0], bannered], [(1, 2)], 0.95, 0, 0.5)[1] == {1: (1, 1.0), 2: (1, 1.0)}


def test_a_published_document_stands_for_a_better_new_one() -> None:
    same = frozenset(range(10))
    old = Document(1, 0, 1, 0, same, quality=0.1, final=True)
    new = Document(2, 0, 2, 0, same, quality=0.9, merit=99)
    assert resolved([old, new], [(1, 2)], 0.5, 0)[1] == {1: (1, 1.0), 2: (1, 1.0)}
    both = resolved([old, replace(new, final=True)], [(1, 2)], 0.5, 0)[1]
    assert both == {1: (1, 1.0), 2: (2, 1.0)}, "what is published stays"


def test_sets_without_a_common_sample_do_not_resemble_each_other() -> None:
    """Both empty at the larger modulus: no evidence, so nothing is dropped."""
    documents = [Document(1, 0, 1, 0, frozenset({2, 6}), 2), Document(2, 0, 2, 0, frozenset({4}), 8)]
    assert {doc: s for doc, (s, _) in resolved(documents, [(1, 2)], 0.5, 0)[1].items()} == {1: 1, 2: 2}


def test_a_pair_that_the_sketch_decided_has_the_sketchs_similarity() -> None:
    documents = [Document(1, 0, 1, 0), Document(2, 0, 2, 0b111)]
    component, survivors, edges = resolved(documents, [(1, 2)], 0.75, 97)
    assert edges == {(1, 2): (125 / 64 - 1, False, True)}
    assert component == {1: 1, 2: 1} and survivors[2] == (1, 125 / 64 - 1)
