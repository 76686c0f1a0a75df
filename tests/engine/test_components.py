"""Connected components in Spark equal networkx and the in-memory path, whatever the partitions, with AQE on."""

from __future__ import annotations

import random
from pathlib import Path

import networkx
import pytest

from pipelines.components import components, star_contraction
from pipelines.session import Cluster

pytestmark = pytest.mark.spark

Edges = list[tuple[int, int]]


def graph(seed: int) -> Edges:
    """A path, a star, a clique, a random sparse part and pairs; ids far apart, edges doubled and in any direction."""
    rng = random.Random(seed)
    edges: Edges = [(i, i + 1) for i in range(60)]
    edges += [(100, 100 + i) for i in range(1, 30)]
    edges += [(200 + i, 200 + j) for i in range(8) for j in range(i)]
    edges += [(300 + rng.randrange(120), 300 + rng.randrange(120)) for _ in range(100)]
    edges += [(500 + 2 * i, 501 + 2 * i) for i in range(20)]
    numbers = rng.sample(range(1 << 62), 600)
    edges = [(numbers[a], numbers[b]) for a, b in edges if a != b]
    edges += rng.sample(edges, 20) + [(b, a) for a, b in rng.sample(edges, 20)]
    rng.shuffle(edges)
    return edges


def expected(edges: Edges) -> dict[int, int]:
    """Node → the least node of its component."""
    found = networkx.connected_components(networkx.Graph(edges))
    return {node: min(members) for members in found for node in members}


def collected(frame) -> dict[int, int]:  # type: ignore[no-untyped-def]
    rows = [(row.doc_id, row.component) for row in frame.collect()]
    assert len(rows) == len(dict(rows)), "a node has two components"
    return dict(rows)


@pytest.mark.parametrize("partitions_used", [1, 3, 8])
def test_star_contraction_equals_networkx_for_any_number_of_partitions(
    cluster: Cluster, partitions: None, tmp_path: Path, partitions_used: int
) -> None:
    spark = cluster.spark
    assert spark.conf.get("spark.sql.adaptive.enabled") == "true"
    spark.conf.set("spark.sql.shuffle.partitions", str(partitions_used))
    edges = graph(partitions_used)
    frame = spark.createDataFrame(edges, "a BIGINT, b BIGINT").repartition(partitions_used)
    assert collected(star_contraction(frame, tmp_path)) == expected(edges)


def test_both_paths_give_the_same_components(cluster: Cluster, tmp_path: Path) -> None:
    edges = graph(11)
    frame = cluster.spark.createDataFrame(edges, "a BIGINT, b BIGINT")
    in_memory = collected(components(frame, len(edges), tmp_path / "memory"))
    in_spark = collected(components(frame, len(edges) - 1, tmp_path / "spark"))
    assert in_memory == in_spark == expected(edges)
    assert (tmp_path / "spark").exists() and not (tmp_path / "memory").exists(), "both took the same path"


def test_no_edges_are_no_components(cluster: Cluster, tmp_path: Path) -> None:
    frame = cluster.spark.createDataFrame([], "a BIGINT, b BIGINT")
    assert collected(components(frame, 10, tmp_path)) == {}
    assert collected(star_contraction(frame, tmp_path)) == {}
