"""Components equal networkx's, whatever the order and direction of the edges."""

from __future__ import annotations

import time

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.components import connected_components
from tests.support.examples import examples

EDGES = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=60)


def components_of(edges: list[tuple[int, int]]) -> dict[int, int]:
    pairs = np.array(edges, np.int64).reshape(-1, 2)
    nodes, component = connected_components(pairs[:, 0], pairs[:, 1])
    assert nodes.tolist() == sorted(set(nodes.tolist()))
    return dict(zip(nodes.tolist(), component.tolist(), strict=True))


@examples(300)
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


@pytest.mark.slow
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
