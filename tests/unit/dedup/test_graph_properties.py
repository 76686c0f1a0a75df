"""The candidate graph equals networkx's: who lends a set to whom, whose sets are read, which pairs are compared."""

from __future__ import annotations

from random import Random

import networkx as nx
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dedup.graph import VerificationPlan, distinct_edges, plan_verification
from tests.support.examples import examples

ACCEPT = 125
Edge = tuple[int, int, int]


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[Edge], dict[int, int]]:
    """Edges of representatives, a pair's always of equal agreement, with repeats; and twins of some documents."""
    n = draw(st.integers(1, 14))
    step = draw(st.sampled_from([1, 2**57]))
    of = [draw(st.integers(0, i)) for i in range(n)]
    twins = {i * step: of[i] * step for i in range(n) if of[i] < i and of[of[i]] == of[i]}
    alone = [i * step for i in range(n) if i * step not in twins]
    agree = st.sampled_from([128, 127, ACCEPT, ACCEPT - 1, 97])
    pairs = [(a, b) for a in alone for b in alone if a < b]
    chosen = draw(st.dictionaries(st.sampled_from(pairs), agree, max_size=12)) if pairs else {}
    edges = [(a, b, bits) for (a, b), bits in chosen.items()]
    return edges + (draw(st.lists(st.sampled_from(edges), max_size=4)) if edges else []), twins


Meaning = tuple[int, int, float]


@st.composite
def graphs_with_meanings(draw: st.DrawFn) -> tuple[list[Edge], dict[int, int], list[Meaning]]:
    """The same with edges by meaning, whose ends may be twins of anybody, or documents that the bands did not find."""
    edges, twins = draw(graphs())
    step = draw(st.sampled_from([1, 2**57]))
    known = sorted({*(n for a, b, _ in edges for n in (a, b)), *twins, *twins.values(), 20 * step, 21 * step, step})
    ends = st.lists(st.sampled_from(known), min_size=2, max_size=2, unique=True).map(sorted)
    pairs = draw(st.lists(ends, max_size=8))
    cosine = st.sampled_from([-1.0, 0.0, 0.5, 0.984375, 1.0])
    return edges, twins, [(a, b, draw(cosine)) for a, b in pairs]


def planned(
    edges: list[Edge], twins: dict[int, int] | None = None, accept: int = ACCEPT, meant: list[Meaning] | None = None
) -> VerificationPlan:
    low, high, agree = (np.array([edge[i] for edge in edges], np.int64) for i in range(3))
    twin, rep = (np.array(list(side), np.int64) for side in ((twins or {}).keys(), (twins or {}).values()))
    arrays = low, high, agree.astype(np.int16), twin, rep, accept
    if meant is None:
        return plan_verification(*arrays)
    ends = [np.array([edge[i] for edge in meant], np.int64) for i in range(2)]
    return plan_verification(*arrays, (ends[0], ends[1], np.array([c for *_, c in meant], np.float32)))


def by_networkx(
    edges: list[Edge], twins: dict[int, int], accept: int, meant: list[Meaning]
) -> tuple[dict[int, tuple[int, int, bool]], dict[tuple[int, int], tuple[int, float | None]]]:
    """Document → (rep, component, wanted); (left, right) → component, the largest cosine."""
    cosine: dict[tuple[int, int], float] = {}
    for a, b, c in meant:
        low, high = sorted((twins.get(a, a), twins.get(b, b)))
        if low != high:
            cosine[low, high] = max(c, cosine.get((low, high), -1.0))
    graph = nx.Graph([*((a, b) for a, b, _ in edges), *cosine])
    graph.add_nodes_from(twins.values())
    component, wanted = {}, {}
    for group in nx.connected_components(graph):
        found = [agree for a, _, agree in edges if a in group]
        sure = all(agree >= accept for agree in found)
        for node in group:
            component[node] = min(group)
            wanted[node] = bool(found) and (len(group) > 2 or (len(group) == 2 and not sure))
    documents = {n: (n, component[n], wanted[n]) for n in graph.nodes}
    documents |= {n: (rep, component[rep], False) for n, rep in twins.items()}
    pairs = {(a, b) for a, b, _ in edges} | set(cosine)
    for a, b, agree in edges:  # the sketch has accepted it, and no set of its component is read
        if agree >= accept and not wanted[a]:
            cosine.pop((a, b), None)
    return documents, {(a, b): (component[a], cosine.get((a, b))) for a, b in pairs}


@examples(600)
@given(graphs_with_meanings(), st.sampled_from([0, ACCEPT, 128, 129]), st.randoms(use_true_random=False))
def test_the_plan_equals_that_of_networkx(
    case: tuple[list[Edge], dict[int, int], list[Meaning]], accept: int, random: Random
) -> None:
    edges, twins, meant = case
    documents, pairs = by_networkx(edges, twins, accept, meant)
    for _ in range(2):
        found = planned(edges, twins, accept, meant)
        rows = zip(found.rep.tolist(), found.component.tolist(), found.wanted.tolist(), strict=True)
        assert found.doc_id.tolist() == sorted(documents)
        assert dict(zip(found.doc_id.tolist(), rows, strict=True)) == documents
        ends = list(zip(found.left.tolist(), found.right.tolist(), strict=True))
        assert len(set(ends)) == len(ends) and all(a < b for a, b in ends)
        cosine = [None if np.isnan(c) else float(c) for c in found.meaning]
        told = zip(found.edge_component.tolist(), cosine, strict=True)
        assert dict(zip(ends, told, strict=True)) == pairs
        assert set(found.doc_id[found.meant].tolist()) == {n for e, (_, c) in pairs.items() if c is not None for n in e}
        assert found.meaning.dtype == np.float32
        random.shuffle(edges)
        meant = [(b, a, c) if random.random() < 0.5 else (a, b, c) for a, b, c in meant]
        random.shuffle(meant)
        order = list(twins.items())
        random.shuffle(order)
        twins = dict(order)


@examples(100)
@given(graphs())
def test_without_edges_by_meaning_the_plan_is_that_without_the_argument(
    case: tuple[list[Edge], dict[int, int]],
) -> None:
    with_none, without = planned(*case, meant=[]), planned(*case)
    for name in VerificationPlan.__slots__:
        np.testing.assert_array_equal(getattr(with_none, name), getattr(without, name))
    assert np.isnan(without.meaning).all()


def wanted(edges: list[Edge], twins: dict[int, int] | None = None, meant: list[Meaning] | None = None) -> list[int]:
    found = planned(edges, twins, meant=meant)
    return found.doc_id[found.wanted].tolist()  # type: ignore[no-any-return]


def test_whose_sets_are_read() -> None:
    assert wanted([]) == []
    assert wanted([], {2: 1, 3: 1}) == [], "one set stands for all: nothing to compare"
    assert wanted([(1, 2, ACCEPT)]) == [], "the sketch accepts the only edge"
    assert wanted([(1, 2, ACCEPT - 1)]) == [1, 2]
    assert wanted([(1, 2, ACCEPT), (2, 3, ACCEPT)]) == [1, 2, 3], "the election compares 1 and 3 as well"
    assert wanted([(1, 9, ACCEPT - 1)], {2: 1, 10: 9}) == [1, 9], "the representatives' sets are enough"
    assert wanted([(1, 9, ACCEPT)], {2: 1}) == []


def test_whose_sets_are_read_where_there_are_edges_by_meaning() -> None:
    assert wanted([], None, [(1, 2, 0.9), (2, 3, 0.9)]) == [], "cosines have decided them all"
    assert wanted([], {2: 1}, [(1, 2, 0.9)]) == [], "twins of one another need no meaning"
    assert wanted([(1, 2, ACCEPT)], None, [(1, 2, 0.9)]) == [], "both have found and accepted the pair"
    assert wanted([(1, 2, ACCEPT - 1)], None, [(1, 2, 0.9)]) == [1, 2], "the shingles' similarity is told first"
    assert wanted([(1, 2, ACCEPT)], None, [(2, 3, 0.9)]) == [1, 2, 3], "the election compares 1 and 3 as well"
    assert wanted([(1, 2, ACCEPT)], {4: 2}, [(3, 4, 0.9)]) == [1, 2, 3], "an end that is a twin"
    assert wanted([(1, 2, ACCEPT - 1)], None, [(3, 4, 0.9)]) == [1, 2]


def test_an_edge_by_meaning_of_twins_is_one_of_their_representatives() -> None:
    found = planned([(1, 5, ACCEPT - 1)], {2: 1, 6: 5}, meant=[(6, 2, 0.5), (1, 6, 0.75), (1, 2, 1.0)])
    assert (found.left.tolist(), found.right.tolist(), found.meaning.tolist()) == ([1], [5], [0.75])


def test_no_edges_no_plan() -> None:
    found = planned([])
    assert [len(getattr(found, name)) for name in VerificationPlan.__slots__] == [0] * 9


@examples(200)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(2**62, 2**62 + 5)), max_size=30))
def test_each_edge_once_and_sorted(edges: list[tuple[int, int]]) -> None:
    agree = [(a + b) % 129 for a, b in edges]
    low, high = (np.array([edge[i] for edge in edges], np.int64) for i in range(2))
    found = distinct_edges(low, high, np.array(agree, np.int16))
    expected = sorted({(a, b, bits) for (a, b), bits in zip(edges, agree, strict=True)})
    assert list(zip(*(part.tolist() for part in found), strict=True)) == expected
    assert found[2].dtype == np.int16
