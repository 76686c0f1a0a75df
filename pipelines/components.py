"""Connected components of an edge table: in memory below a size, by star contraction in Spark above it.

Star contraction (Kiveris et al. 2014): large-star links every larger neighbour of a node to the least of its
neighbourhood, small-star the smaller ones; repeated until nothing changes, every node points at its component's least
id. Ids are
our own stable ones, never ``monotonically_increasing_id``, which gives other numbers when a stage is recomputed. Each
round is written out and read back: the lineage stays flat, and adaptive execution cannot recompute half of a round.

Source: Kiveris et al. 2014, "Connected Components in MapReduce and Beyond", algorithms 1 to 3.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from corpus.errors import TamisError
from dedup.components import connected_components
from pipelines.context import materialise

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

MAX_ROUNDS = 60
"""Rounds grow with the logarithm of the longest path: 2^30 nodes in a row need about 30."""


def components(edges: DataFrame, max_edges_in_memory: int, scratch: Path) -> DataFrame:
    """The component of each node.

    Args:
        edges: ``a BIGINT, b BIGINT``.
        max_edges_in_memory: up to so many edges are collected (16 bytes each).
        scratch: folder for the rounds.

    Returns:
        ``doc_id BIGINT, component BIGINT``: the component is its least id.
    """
    if edges.count() <= max_edges_in_memory:
        return _in_memory(edges)
    return star_contraction(edges, scratch)


def _in_memory(edges: DataFrame) -> DataFrame:
    spark = edges.sparkSession
    table: pa.Table = edges.select("a", "b").toArrow()
    left = np.asarray(table.column("a").to_numpy(), np.int64)
    right = np.asarray(table.column("b").to_numpy(), np.int64)
    nodes, component = connected_components(left, right)
    schema = "doc_id BIGINT, component BIGINT"
    if not len(nodes):
        return spark.createDataFrame([], schema)
    return spark.createDataFrame(pa.table({"doc_id": nodes, "component": component}), schema)


def star_contraction(edges: DataFrame, scratch: Path) -> DataFrame:
    """Components in Spark; see the module.

    Raises:
        TamisError: no fixed point after ``MAX_ROUNDS`` rounds.
    """
    from pyspark.sql import functions as F

    current = edges.filter("a != b").select(F.least("a", "b").alias("v"), F.greatest("a", "b").alias("u")).distinct()
    current = materialise(current, scratch / "round-000")
    before: Any = -1
    for number in range(1, MAX_ROUNDS + 1):
        current = materialise(_small_star(_large_star(current)), scratch / f"round-{number:03d}")
        # A fixed point is a set of stars; the sum of (node, root) pairs no longer changes.
        found = current.agg(F.sum(F.xxhash64("u", "v").cast("decimal(38,0)")).alias("sum")).first()
        now = found["sum"] if found else None
        if now == before:
            stars = current.select(F.col("u").alias("doc_id"), F.col("v").alias("component"))
            roots = current.select(F.col("v").alias("doc_id"), F.col("v").alias("component"))
            return stars.union(roots).distinct()
        before = now
    raise TamisError(f"components did not settle in {MAX_ROUNDS} rounds")


def _large_star(edges: DataFrame) -> DataFrame:
    """Each node links its larger neighbours to the least of its closed neighbourhood."""
    from pyspark.sql import functions as F

    both = edges.select("u", "v").union(edges.select(F.col("v").alias("u"), F.col("u").alias("v")))
    least = both.groupBy("u").agg(F.min("v").alias("m")).select("u", F.least("u", "m").alias("m"))
    linked = both.join(least, on="u", how="inner").filter("v > u")
    return linked.select(F.col("v").alias("u"), F.col("m").alias("v")).filter("u != v").distinct()


def _small_star(edges: DataFrame) -> DataFrame:
    """Each node links its smaller neighbours, and itself, to the least of them."""
    from pyspark.sql import functions as F

    down = edges.select(F.greatest("u", "v").alias("u"), F.least("u", "v").alias("v"))
    least = down.groupBy("u").agg(F.min("v").alias("m"))
    linked = down.join(least, on="u", how="inner")
    smaller = linked.select(F.col("v").alias("u"), F.col("m").alias("v"))
    own = least.select("u", F.col("m").alias("v"))
    return smaller.union(own).filter("u != v").distinct()
