"""Plans verification: which documents and edges of the candidate graph need it; in memory, or in Spark above a size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from corpus import ids
from corpus.files import Manifest, read_files
from dedup.graph import VerificationPlan, plan_verification
from pipelines.spark.components import star_contraction
from pipelines.spark.frames import materialise, scatter
from pipelines.spark.session import Cluster
from pipelines.stages.near_dedup.buckets import Candidates
from pipelines.stages.near_dedup.semantic_edges import SemanticEdges
from pipelines.stages.near_dedup.tables import (
    EDGE,
    MEMBERS,
    PAIRS,
    TWINS,
    SnapshotFile,
    commit_snapshots,
    write_by_snapshot,
)

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_NO_EDGES = pa.table({"a": pa.array([], pa.int64()), "b": pa.array([], pa.int64()), "agree": pa.array([], pa.int16())})


def plan(
    cluster: Cluster,
    found: Candidates,
    twins: Mapping[int, Manifest],
    accept: int,
    max_edges_in_memory: int,
    scratch: Path,
    semantic: SemanticEdges,
) -> tuple[dict[int, Manifest], int]:
    """Writes tables `members` and `pairs`: the documents in candidate edges, and these edges.

    Returns snapshot → both tables, and how many rounds of contraction in Spark the components took.
    """
    paths = [path for manifest in twins.values() for path in manifest.paths("twins")]
    folder = scratch / "plan"
    if found.edges + semantic.edges > max_edges_in_memory:
        members, pairs, rounds = _plan_in_spark(cluster, found, paths, accept, max_edges_in_memory, scratch, semantic)
        return commit_snapshots(folder, _write_from_spark(members, pairs, folder)), rounds
    edges, same = read_files(found.paths), read_files(paths)
    edges = _NO_EDGES if edges is None else edges
    same = TWINS.empty_table() if same is None else same
    low, high, agree = (edges.column(name).to_numpy() for name in ("a", "b", "agree"))
    twin, rep = same.column("doc_id").to_numpy(), same.column("rep").to_numpy()
    planned = plan_verification(low, high, agree, twin, rep, accept, semantic.read())
    return commit_snapshots(folder, _write_plan(planned, folder)), 0


def _write_plan(planned: VerificationPlan, folder: Path) -> Iterator[SnapshotFile]:
    """Writes tables `members` and `pairs` of a plan."""
    members = {name: getattr(planned, name) for name in ("doc_id", "rep", "component", "wanted", "meant")}
    pairs = {
        "doc_id": planned.left,
        "other": planned.right,
        "component": planned.edge_component,
        "meaning": planned.meaning,
    }
    yield from write_by_snapshot(pa.table(members), "members", MEMBERS, folder)
    yield from write_by_snapshot(pa.table(pairs), "pairs", PAIRS, folder)


def _plan_in_spark(
    cluster: Cluster,
    found: Candidates,
    twins: Sequence[str],
    accept: int,
    max_edges_in_memory: int,
    scratch: Path,
    semantic: SemanticEdges,
) -> tuple[DataFrame, DataFrame, int]:
    """`dedup.graph.plan_verification` in DataFrames, for edges that do not fit in memory.

    A component is undecided if it has more than two documents, or an edge that the sketch does not accept; the shingles
    of its representatives are then wanted.
    """
    from pyspark.sql import functions as F

    spark = cluster.spark
    schema = "doc_id BIGINT, rep BIGINT"
    same = spark.read.schema(schema).parquet(*twins) if twins else spark.createDataFrame([], schema)
    pairs = spark.read.schema(EDGE).parquet(*found.paths) if found.paths else spark.createDataFrame([], EDGE)
    pairs = pairs.withColumn("meaning", F.lit(None).cast("float")).unionByName(semantic.frame(spark, same))
    pairs = pairs.groupBy("a", "b").agg(F.max("agree").alias("agree"), F.max("meaning").alias("meaning"))
    pairs = materialise(pairs, scratch / "pairs")
    nodes = pairs.select(F.col("a").alias("doc_id")).union(pairs.select("b")).union(same.select("rep"))
    reps = nodes.distinct().select("doc_id", F.col("doc_id").alias("rep")).union(same)
    contracted = star_contraction(pairs.select("a", "b"), max_edges_in_memory, scratch / "linked")
    roots = contracted.frame.withColumnRenamed("doc_id", "rep")
    members = reps.join(roots, on="rep", how="left").withColumn("component", F.coalesce("component", "rep"))
    pairs = pairs.join(roots.withColumnRenamed("rep", "a"), on="a", how="inner")
    unsure = pairs.groupBy("component").agg(F.min("agree").alias("least"))
    sizes = members.filter("rep = doc_id").groupBy("component").agg(F.count("*").alias("reps"))
    undecided = sizes.join(unsure, on="component", how="inner").filter(
        f"least IS NOT NULL AND (reps > 2 OR least < {accept})"
    )
    undecided = undecided.select("component", F.lit(True).alias("undecided"))
    members = members.join(undecided, on="component", how="left")
    wanted = (F.col("rep") == F.col("doc_id")) & F.coalesce("undecided", F.lit(False))
    meant = pairs.filter("meaning IS NOT NULL")
    meant = meant.select(F.col("a").alias("doc_id")).union(meant.select("b")).distinct()
    members = members.join(meant.withColumn("meant", F.lit(True)), on="doc_id", how="left").fillna(False, ["meant"])
    members = materialise(members.withColumn("wanted", wanted).drop("undecided"), scratch / "members")
    nan = F.lit(float("nan")).cast("float")
    by_sketch = F.col("undecided").isNull() & F.coalesce(F.col("agree") >= accept, F.lit(False))
    meaning = F.when(by_sketch, nan).otherwise(F.coalesce("meaning", nan)).alias("meaning")
    ends = pairs.join(undecided, on="component", how="left").select(
        F.col("a").alias("doc_id"), F.col("b").alias("other"), "component", meaning
    )
    return members, ends, contracted.rounds


def _write_from_spark(members: DataFrame, pairs: DataFrame, folder: Path) -> Iterator[SnapshotFile]:
    """Writes the DataFrames as `_write_plan` does."""
    from pyspark.sql import functions as F

    snapshot = F.shiftright("doc_id", ids.SHARD_BITS + ids.ROW_BITS)
    for number in sorted(row[0] for row in members.select(snapshot).distinct().collect()):
        for kind, frame, schema in (("members", members, MEMBERS), ("pairs", pairs, PAIRS)):
            for file in scatter(frame.filter(snapshot == number), kind, schema, folder / str(number)):
                yield SnapshotFile(number, file)
