"""Connected components in Spark equal networkx and the in-memory path, whatever the partitions, order and retries."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import networkx
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark import TaskContext
from pyspark.sql import DataFrame

import pipelines.spark.components
from pipelines.spark.components import star_contraction
from pipelines.spark.session import Cluster
from tamis.errors import TamisError

pytestmark = pytest.mark.spark

Edges = list[tuple[int, int]]
ALL_IN_SPARK = 0
SCHEMA = "a BIGINT, b BIGINT"


def mixed(rng: random.Random) -> Edges:
    """A path, a star, a clique, a sparse part, pairs and loops."""
    edges: Edges = [(i, i + 1) for i in range(60)]
    edges += [(100, 100 + i) for i in range(1, 30)]
    edges += [(200 + i, 200 + j) for i in range(8) for j in range(i)]
    edges += [(300 + rng.randrange(120), 300 + rng.randrange(120)) for _ in range(100)]
    edges += [(500 + 2 * i, 501 + 2 * i) for i in range(20)]
    return [*edges, (1000, 1000), (1001, 1001), (500, 500)]


def sparse(nodes: int, density: float) -> Callable[[random.Random], Edges]:
    """A random graph with so many edges a node."""
    return lambda rng: [(rng.randrange(nodes), rng.randrange(nodes)) for _ in range(int(density * nodes))]


def trees(rng: random.Random) -> Edges:
    """Random trees: each node hangs on an earlier one; every 50th starts another."""
    return [(i, rng.randrange(i - i % 50, i)) for i in range(400) if i % 50]


SHAPES: dict[str, Callable[[random.Random], Edges]] = {
    "mixed": mixed,
    "sparse": sparse(500, 0.5),
    "dense": sparse(60, 8),
    "trees": trees,
    "grid": lambda rng: [(n, n + step) for n in range(380) for step in (1, 20) if (n + step) % 20 or step == 20],
    "bipartite": lambda rng: [(rng.randrange(40), 100 + rng.randrange(400)) for _ in range(450)],
}


def graph(shape: str, seed: int) -> Edges:
    """A graph with ids far apart, some edges doubled, in any direction and order."""
    rng = random.Random(seed)
    edges = SHAPES[shape](rng)
    numbers = rng.sample(range(1 << 62), 1 + max(max(edge) for edge in edges))
    edges = [(numbers[a], numbers[b]) for a, b in edges]
    edges += rng.sample(edges, 20) + [(b, a) for a, b in rng.sample(edges, 20)]
    rng.shuffle(edges)
    return edges


def expected(edges: Edges) -> dict[int, int]:
    """Node → the least node of its component."""
    found = networkx.connected_components(networkx.Graph(edges))
    return {node: min(members) for members in found for node in members}


def collected(frame: DataFrame) -> dict[int, int]:
    """The answer, each node once."""
    table = frame.toArrow()
    rows = dict(zip(table.column("doc_id").to_pylist(), table.column("component").to_pylist(), strict=True))
    assert len(rows) == table.num_rows, "a node has two components"
    return rows


@pytest.fixture(params=["adaptive", "not adaptive"])
def adaptive(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[None]:
    """With adaptive execution and without."""
    conf = cluster.spark.conf
    conf.set("spark.sql.adaptive.enabled", str(request.param == "adaptive").lower())
    yield
    conf.set("spark.sql.adaptive.enabled", "true")


@pytest.mark.parametrize("shape", SHAPES)
def test_both_paths_and_every_way_between_equal_networkx(cluster: Cluster, tmp_path: Path, shape: str) -> None:
    edges = graph(shape, seed=len(shape))
    frame = cluster.spark.createDataFrame(edges, SCHEMA)
    answer = expected(edges)
    rounds = {}
    for limit in (ALL_IN_SPARK, len(set(edges)) // 6, len(edges)):
        found = star_contraction(frame, limit, tmp_path / str(limit))
        assert collected(found.frame) == answer, limit
        rounds[limit] = found.rounds
    most, between, none = rounds.values()
    assert none == 0 < between <= most <= 12


@pytest.mark.parametrize("partitions_used", [1, 3, 8])
def test_any_partitioning_and_order_of_the_edges(
    cluster: Cluster, adaptive: None, partitions: None, tmp_path: Path, partitions_used: int
) -> None:
    spark = cluster.spark
    spark.conf.set("spark.sql.shuffle.partitions", str(partitions_used))
    edges = graph("mixed", 5)
    answer = expected(edges)
    random.Random(partitions_used).shuffle(edges)
    changed = [edge[:: random.Random(i).choice((1, -1))] for i, edge in enumerate(edges)]
    frame = spark.createDataFrame(changed, SCHEMA).repartition(partitions_used)
    assert collected(star_contraction(frame, ALL_IN_SPARK, tmp_path).frame) == answer


def test_tasks_that_fail_once_and_rows_in_another_order_each_time(cluster: Cluster, tmp_path: Path) -> None:
    edges = graph("mixed", 7)
    marks = str(tmp_path)

    def unreliable(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        context = TaskContext.get()
        assert context is not None
        table = pa.Table.from_batches(batches)
        order = np.random.default_rng().permutation(table.num_rows)
        shuffled = table.take(pa.array(order)).combine_chunks().to_batches()
        yield from shuffled[:1]
        if context.attemptNumber() == 0:
            Path(marks, f"failed-{context.partitionId()}").touch()
            raise RuntimeError("the first attempt fails, after it has handed out rows")
        yield from shuffled[1:]

    frame = cluster.spark.createDataFrame(edges, SCHEMA).repartition(3).mapInArrow(unreliable, SCHEMA)
    assert collected(star_contraction(frame, ALL_IN_SPARK, tmp_path / "scratch").frame) == expected(edges)
    assert len(list(tmp_path.glob("failed-*"))) == 3


def test_a_second_driver_in_the_folder_of_one_that_died(cluster: Cluster, tmp_path: Path) -> None:
    first, second = graph("trees", 1), graph("mixed", 2)
    spark = cluster.spark
    for edges, limit in ((first, ALL_IN_SPARK), (second, 60), (first, 60)):
        found = star_contraction(spark.createDataFrame(edges, SCHEMA), limit, tmp_path).frame
        assert collected(found) == expected(edges)


def test_rounds_are_bounded_and_their_folders_do_not_pile_up(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = cluster.spark.range(300).selectExpr("id AS a", "id + 1 AS b")
    found = star_contraction(path, ALL_IN_SPARK, tmp_path / "whole")
    assert found.rounds >= 6
    left = sorted(p.name for p in (tmp_path / "whole").iterdir())
    last = found.rounds
    assert left == ["core", f"edges-{last - 1:02d}", f"edges-{last:02d}", "labels-00", "roots-00", "roots-01"]
    monkeypatch.setattr(pipelines.spark.components, "MAX_ROUNDS", 3)
    with pytest.raises(TamisError, match="left after 3 rounds"):
        star_contraction(path, ALL_IN_SPARK, tmp_path / "stopped")


def test_no_edges_are_no_components(cluster: Cluster, tmp_path: Path) -> None:
    frame = cluster.spark.createDataFrame([], SCHEMA)
    assert collected(star_contraction(frame, 10, tmp_path).frame) == {}
    assert star_contraction(frame, ALL_IN_SPARK, tmp_path).rounds == 0


# ------------------------------------------------------------------------------------------------- large, both paths

LIMITS = pytest.mark.parametrize(("limit", "least_rounds"), [(ALL_IN_SPARK, 1), (100_000_000, 0)])


def parquet(cluster: Cluster, folder: Path, a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> DataFrame:
    """Edges as a table on disk, in eight files."""
    folder.mkdir()
    for number, (left, right) in enumerate(zip(np.array_split(a, 8), np.array_split(b, 8), strict=True)):
        pq.write_table(pa.table({"a": left, "b": right}), folder / f"{number}.parquet")
    return cluster.spark.read.schema(SCHEMA).parquet(str(folder))


@pytest.mark.slow
@LIMITS
@pytest.mark.parametrize("shuffled", [True, False])
def test_a_path_of_ten_thousand_nodes(
    cluster: Cluster, tmp_path: Path, limit: int, least_rounds: int, shuffled: bool
) -> None:
    rng = np.random.default_rng(1)
    nodes = np.sort(rng.choice(1 << 60, 10_000, replace=False)).astype(np.int64)
    if shuffled:
        nodes = rng.permutation(nodes)
    frame = parquet(cluster, tmp_path / "edges", nodes[:-1], nodes[1:])
    found = star_contraction(frame, limit, tmp_path / "scratch")
    assert least_rounds <= found.rounds <= 20
    assert collected(found.frame) == dict.fromkeys(nodes.tolist(), int(nodes.min()))


@pytest.mark.slow
@LIMITS
@pytest.mark.parametrize("centre", [0, 500_000])
def test_a_star_of_a_million_leaves(
    cluster: Cluster, tmp_path: Path, limit: int, least_rounds: int, centre: int
) -> None:
    nodes = np.random.default_rng(2).permutation(1_000_001).astype(np.int64) * 1_000_003
    hub = centre * 1_000_003
    leaves = nodes[nodes != hub]
    frame = parquet(cluster, tmp_path / "edges", leaves, np.full(len(leaves), hub))
    found = star_contraction(frame, limit, tmp_path / "scratch")
    assert least_rounds <= found.rounds <= 2
    table = found.frame.toArrow()
    assert np.array_equal(np.sort(table.column("doc_id").to_numpy()), np.sort(nodes))
    assert not table.column("component").to_numpy().any(), "the least of all is 0"
