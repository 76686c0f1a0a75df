"""The candidate graph equals networkx's: who lends a set to whom, whose sets are read, which pairs are compared."""

from __future__ import annotations

from random import Random

import networkx as nx
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.graph import Plan, distinct_edges, plan_verification

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


def planned(edges: list[Edge], twins: dict[int, int] | None = None, accept: int = ACCEPT) -> Plan:
    low, high, agree = (np.array([edge[i] for edge in edges], np.int64) for i in range(3))
    twin, rep = (np.array(list(side), np.int64) for side in ((twins or {}).keys(), (twins or {}).values()))
    return plan_verification(low, high, agree.astype(np.int16), twin, rep, accept)


def by_networkx(
    edges: list[Edge], twins: dict[int, int], accept: int
) -> tuple[dict[int, tuple[int, int, bool]], dict[tuple[int, int], int]]:
    """Document → (rep, component, wanted); (left, right) → component."""
    graph = nx.Graph((a, b) for a, b, _ in edges)
    graph.add_nodes_from(twins.values())
    component, wanted = {}, {}
    for group in nx.connected_components(graph):
        sure = all(agree >= accept for a, _, agree in edges if a in group)
        for node in group:
            component[node] = min(group)
            wanted[node] = len(group) > 2 or (len(group) == 2 and not sure)
    documents = {n: (n, component[n], wanted[n]) for n in graph.nodes}
    documents |= {n: (rep, component[rep], False) for n, rep in twins.items()}
    return documents, {(a, b): component[a] for a, b, _ in edges}


@settings(max_examples=400, deadline=None)
@given(graphs(), st.sampled_from([0, ACCEPT, 128, 129]), st.randoms(use_true_random=False))
def test_the_plan_equals_that_of_networkx(case: tuple[list[Edge], dict[int, int]], accept: int, random: Random) -> None:
    edges, twins = case
    documents, pairs = by_networkx(edges, twins, accept)
    for _ in range(2):
        found = planned(edges, twins, accept)
        rows = zip(found.rep.tolist(), found.component.tolist(), found.wanted.tolist(), strict=True)
        assert found.doc_id.tolist() == sorted(documents)
        assert dict(zip(found.doc_id.tolist(), rows, strict=True)) == documents
        ends = list(zip(found.left.tolist(), found.right.tolist(), strict=True))
        assert len(set(ends)) == len(ends) and all(a < b for a, b in ends)
        assert dict(zip(ends, found.edge_component.tolist(), strict=True)) == pairs
        random.shuffle(edges)
        order = list(twins.items())
        random.shuffle(order)
        twins = dict(order)


def wanted(edges: list[Edge], twins: dict[int, int] | None = None) -> list[int]:
    found = planned(edges, twins)
    return found.doc_id[found.wanted].tolist()  # type: ignore[no-any-return]


def test_whose_sets_are_read() -> None:
    assert wanted([]) == []
    assert wanted([], {2: 1, 3: 1}) == [], "one set stands for all: nothing to compare"
    assert wanted([(1, 2, ACCEPT)]) == [], "the sketch accepts the only edge"
    assert wanted([(1, 2, ACCEPT - 1)]) == [1, 2]
    assert wanted([(1, 2, ACCEPT), (2, 3, ACCEPT)]) == [1, 2, 3], "the election compares 1 and 3 as well"
    assert wanted([(1, 9, ACCEPT - 1)], {2: 1, 10: 9}) == [1, 9], "the representatives' sets are enough"
    assert wanted([(1, 9, ACCEPT)], {2: 1}) == []


def test_no_edges_no_plan() -> None:
    found = planned([])
    assert [len(getattr(found, name)) for name in Plan.__slots__] == [0] * 8


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(2**62, 2**62 + 5)), max_size=30))
def test_each_edge_once_and_sorted(edges: list[tuple[int, int]]) -> None:
    agree = [(a + b) % 129 for a, b in edges]
    low, high = (np.array([edge[i] for edge in edges], np.int64) for i in range(2))
    found = distinct_edges(low, high, np.array(agree, np.int16))
    expected = sorted({(a, b, bits) for (a, b), bits in zip(edges, agree, strict=True)})
    assert list(zip(*(part.tolist() for part in found), strict=True)) == expected
    assert found[2].dtype == np.int16
