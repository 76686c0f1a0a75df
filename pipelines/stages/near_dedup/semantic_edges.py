"""Semantic edges: pairs of documents that `semantic_clusters` found to mean the same, where both are in `near_dedup`.

A document with a vector may be absent here: its domain skips the stage, or it has no token. The ids of those that take
part are written by a task a shard; of earlier snapshots these are all kept documents, so the driver reads them file by
file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from corpus import ids
from corpus.files import read_files, write_table
from dedup.graph import NO_MEANING
from pipelines.spark.session import Cluster
from pipelines.stages.near_dedup.tables import EDGE, evidence_of
from pipelines.stages.shard_task import ShardTask

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@dataclass(frozen=True)
class SemanticEdges:
    """Pairs that `semantic_clusters` found to mean the same, between documents that take part in this stage.

    Attributes:
        paths: files of `schemas.SEMANTIC_EDGES`.
        edges: how many.
        known: files of the ids of documents that have such an edge and take part.
    """

    paths: tuple[str, ...] = ()
    edges: int = 0
    known: tuple[str, ...] = ()

    def read(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Both ends and the cosine of those whose ends take part."""
        table = read_files(self.paths, ["doc_id", "other", "similarity"])
        if table is None or not table.num_rows:
            return NO_MEANING
        a, b = table.column("doc_id").to_numpy(), table.column("other").to_numpy()
        ends = np.unique(np.concatenate([a, b]))
        known = np.zeros(len(ends), np.bool_)
        for path in self.known:  # one by one: of earlier snapshots these are all documents
            here = pq.read_table(path, partitioning=None).column("doc_id").to_numpy()
            at = np.minimum(np.searchsorted(ends, here), len(ends) - 1)
            known[at[ends[at] == here]] = True
        both = known[np.searchsorted(ends, a)] & known[np.searchsorted(ends, b)]
        return a[both], b[both], table.column("similarity").to_numpy()[both]

    def frame(self, spark: Any, same: DataFrame) -> DataFrame:
        """The same for Spark, between representatives: `a`, `b`, `agree` (null), `meaning`."""
        from pyspark.sql import functions as F

        if not self.paths or not self.known:
            return spark.createDataFrame([], f"{EDGE}, meaning FLOAT")
        edges = spark.read.schema("doc_id BIGINT, other BIGINT, similarity FLOAT").parquet(*self.paths)
        known = spark.read.schema("doc_id BIGINT").parquet(*self.known).distinct()
        named = known.join(same, on="doc_id", how="left").withColumn("rep", F.coalesce("rep", "doc_id"))
        first = named.select("doc_id", F.col("rep").alias("x"))
        second = named.select(F.col("doc_id").alias("other"), F.col("rep").alias("y"))
        ends = edges.join(first, on="doc_id", how="inner").join(second, on="other", how="inner").filter("x <> y")
        agree = F.lit(None).cast("smallint").alias("agree")
        a, b = F.least("x", "y").alias("a"), F.greatest("x", "y").alias("b")
        return ends.select(a, b, agree, F.col("similarity").alias("meaning"))


@dataclass(frozen=True)
class KnownTask:
    """A document shard of which the ids that take part are written to a folder."""

    task: ShardTask
    folder: Path


def find_semantic_edges(
    cluster: Cluster, tasks: Sequence[ShardTask], edges: Sequence[str], count: int, folder: Path
) -> SemanticEdges:
    """The semantic edges, and which of their documents take part here: alive, not skipped, with a token.

    Args:
        cluster: Spark.
        tasks: document shards.
        edges: files of `schemas.SEMANTIC_EDGES`.
        count: how many they hold.
        folder: where the ids are written.
    """
    if not edges:
        return SemanticEdges()
    answers = cluster.map(
        known_of_shard,
        [KnownTask(task, folder) for task in tasks],
        label="near_dedup: edges by meaning",
        receipts=folder / "receipts",
    )
    return SemanticEdges(tuple(edges), count, tuple(path for answer in answers for path in answer))


def known_of_shard(job: KnownTask) -> list[str]:
    """Task: the ids of a shard's documents that take part here; of new ones, those with a semantic edge."""
    task = job.task
    evidence = evidence_of(task, ["row", "doc_id", "shingles"])
    if evidence is None:
        return []
    rows = evidence.column("row").to_numpy()
    taken = np.zeros(task.shard.rows, np.bool_)
    taken[task.active_rows(task.state())] = True
    takes_part = taken[rows]
    if not task.earlier:
        takes_part &= task.column(rows, "semantic_clusters", "semantic_size", 1) > 1
    known = pa.table({"doc_id": evidence.column("doc_id")}).filter(pa.array(takes_part))
    if not known.num_rows:
        return []
    folder = job.folder / str(ids.snapshot_of(task.shard.first_id))
    return [str(folder / write_table(folder, f"known-{task.shard.number:06d}", known, kind="known").path)]
