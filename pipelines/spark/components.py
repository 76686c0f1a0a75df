"""Connected components of an edge table: in memory below a size, contracted in Spark until they fit above it.

In each round a node takes the label of whichever comes first, itself or a neighbour, in that round's order of hashed
ids; nodes of equal label are merged, so that every star becomes one node. Edges are rewritten between labels: those
inside a star vanish, and parallel ones become one. Once few enough edges are left, union-find finishes in memory, and
the labels of the rounds are resolved back, the last round first.

Not the alternation of large-star and small-star (Kiveris et al. 2014): it keeps one edge a node to the end, so that
every round costs as much as the first and nothing ever fits in memory; here each round halves the work. The order of
hashes changes every second round. With one order for all rounds, such as that of the ids, a path of rising nodes would
lose one node a round; with a new order each round, leaves of a star that come before its centre would keep labels of
their own, which a second round in the same order merges.

Ids are our own, never `monotonically_increasing_id`, which gives other numbers when a stage is recomputed. Each step
is written out and read back, so that the lineage stays short, and a retry or adaptive execution cannot mix two versions
of a round. A component is named by its least id, whatever the order, the partitioning and the hashes.

Cost: four shuffles of 16 to 24 bytes an edge a round; a round leaves about half of the nodes of a path and fewer of
anything denser. Two joins a round bring the labels back. No step collects the neighbours of a node: a hub's rows are
combined before they are shuffled for the labels, and joined with one row each, which adaptive execution may split.

Source: Łącki, Mirrokni and Włodarczyk 2018, "Connected Components at Scale via Local Contractions" (arXiv
1807.10727), LocalContraction, with a hash for the random order of a phase, kept for two phases.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dedup.components import connected_components
from pipelines.spark.frames import materialise
from tamis.errors import TamisError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

MAX_ROUNDS = 60
"""Rounds grow with the logarithm of the nodes: a path of 2^30 nodes takes about 30."""
COMPONENTS = "doc_id BIGINT, component BIGINT"


class Contraction(NamedTuple):
    """Components, `doc_id BIGINT, component BIGINT`, and their rounds in Spark: 0 where memory was enough."""

    frame: DataFrame
    rounds: int


def star_contraction(edges: DataFrame, max_edges_in_memory: int, scratch: Path) -> Contraction:
    """The component of each node, named by its least id, and the rounds.

    Edges are `a BIGINT, b BIGINT`, in any direction, repeated or not; a loop makes a node. Up to `max_edges_in_memory`
    are read by the driver (40 bytes each at the peak). Files of an earlier attempt in `scratch` are overwritten.

    Raises:
        TamisError: more than `max_edges_in_memory` edges are left after `MAX_ROUNDS` rounds.
    """
    from pyspark.sql import functions as F

    low, high = F.least("a", "b").alias("a"), F.greatest("a", "b").alias("b")
    folder = scratch / "edges"
    current = materialise(edges.select(low, high), folder)
    if current.count() > max_edges_in_memory:
        folder = scratch / "edges-00"
        current = materialise(current.distinct(), folder)
        shutil.rmtree(scratch / "edges")
    labels: list[DataFrame] = []
    while (left := current.count()) > max_edges_in_memory:
        number = len(labels)
        if number == MAX_ROUNDS:
            raise TamisError(f"components: {left:,} edges are left after {MAX_ROUNDS} rounds; allow more in memory")
        labels.append(materialise(_labels(current, number), scratch / f"labels-{number:02d}"))
        folder = scratch / f"edges-{number + 1:02d}"
        current = materialise(_contracted(current, labels[-1]), folder)
        shutil.rmtree(scratch / f"edges-{number - 1:02d}", ignore_errors=True)
    found = _in_memory(current, folder, scratch / "core")
    for number in reversed(range(len(labels))):
        found = materialise(_resolved(labels[number], found), scratch / f"roots-{number:02d}")
        shutil.rmtree(scratch / f"labels-{number + 1:02d}", ignore_errors=True)
        shutil.rmtree(scratch / f"roots-{number + 2:02d}", ignore_errors=True)
    return Contraction(_rename_to_least(found) if labels else found, len(labels))


def _labels(edges: DataFrame, number: int) -> DataFrame:
    """(node, label): the first of the node and its neighbours in this round's order.

    Equal hashes of two neighbours do no harm: either is a neighbour, and the choice is written before it is used.
    """
    from pyspark.sql import functions as F

    both = edges.select("a", "b").union(edges.select("b", "a")).toDF("node", "other")
    salt = F.lit(number // 2)
    order = F.xxhash64("other", salt)
    first = both.groupBy("node").agg(F.min_by("other", order).alias("other"), F.min(order).alias("least"))
    label = F.when(F.xxhash64("node", salt) < F.col("least"), F.col("node")).otherwise(F.col("other"))
    return first.select("node", label.alias("label"))


def _contracted(edges: DataFrame, labels: DataFrame) -> DataFrame:
    """The distinct edges between labels; (least, greatest)."""
    from pyspark.sql import functions as F

    left = labels.select(F.col("node").alias("a"), F.col("label").alias("x"))
    right = labels.select(F.col("node").alias("b"), F.col("label").alias("y"))
    joined = edges.join(left, on="a", how="inner").join(right, on="b", how="inner").filter("x != y")
    return joined.select(F.least("x", "y").alias("a"), F.greatest("x", "y").alias("b")).distinct()


def _in_memory(edges: DataFrame, written: Path, target: Path) -> DataFrame:
    """Components by union-find in the driver, past the JVM: edges are read from a folder, components written to one.

    `component` is the least of the labels that are left of a component.
    """
    table = pq.read_table(written, columns=["a", "b"], partitioning=None)
    left, right = (np.asarray(table.column(name).to_numpy(), np.int64) for name in ("a", "b"))
    nodes, component = connected_components(left, right)
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    pq.write_table(pa.table({"doc_id": nodes, "component": component}), target / "part-0.parquet")
    return edges.sparkSession.read.schema(COMPONENTS).parquet(str(target))


def _resolved(labels: DataFrame, found: DataFrame) -> DataFrame:
    """The components of a round's nodes, from those of the next; a label with no edge left is its own component."""
    from pyspark.sql import functions as F

    later = found.withColumnRenamed("doc_id", "label")
    component = F.coalesce("component", "label").alias("component")
    return labels.join(later, on="label", how="left").select(F.col("node").alias("doc_id"), component)


def _rename_to_least(found: DataFrame) -> DataFrame:
    """Names each component by the least of its nodes."""
    from pyspark.sql import functions as F

    least = found.groupBy("component").agg(F.min("doc_id").alias("least"))
    return found.join(least, on="component", how="inner").select("doc_id", F.col("least").alias("component"))
