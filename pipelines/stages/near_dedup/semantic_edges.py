"""Semantic edges in `near_dedup`: pairs of documents that `semantic_clusters` found to mean the same.

An edge counts only if both its documents are *participants* here: alive, with a token, and of a domain that does not
skip the stage. Tasks write the ids of participants shard by shard. Of an earlier snapshot these are all its kept
documents, so the driver reads them file by file.
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
    """Files of `schemas.SEMANTIC_EDGES`, how many edges they hold, and files of the ids between which these count."""

    paths: tuple[str, ...] = ()
    edges: int = 0
    participants: tuple[str, ...] = ()

    def read(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """The edges between participants: both ends, and their cosine."""
        table = read_files(self.paths, ["doc_id", "other", "similarity"])
        if table is None or not table.num_rows:
            return NO_MEANING
        a, b = table.column("doc_id").to_numpy(), table.column("other").to_numpy()
        ends = np.unique(np.concatenate([a, b]))
        known = np.zeros(len(ends), np.bool_)
        for path in self.participants:  # one by one: together they may be all documents of earlier snapshots
            here = pq.read_table(path, partitioning=None).column("doc_id").to_numpy()
            at = np.minimum(np.searchsorted(ends, here), len(ends) - 1)
            known[at[ends[at] == here]] = True
        both = known[np.searchsorted(ends, a)] & known[np.searchsorted(ends, b)]
        return a[both], b[both], table.column("similarity").to_numpy()[both]

    def frame(self, spark: Any, same: DataFrame) -> DataFrame:
        """The same as a DataFrame, between representatives (`rep` in `same`): `a`, `b`, null `agree`, `meaning`."""
        from pyspark.sql import functions as F

        if not self.paths or not self.participants:
            return spark.createDataFrame([], f"{EDGE}, meaning FLOAT")
        edges = spark.read.schema("doc_id BIGINT, other BIGINT, similarity FLOAT").parquet(*self.paths)
        participants = spark.read.schema("doc_id BIGINT").parquet(*self.participants).distinct()
        reps = participants.join(same, on="doc_id", how="left").withColumn("rep", F.coalesce("rep", "doc_id"))
        first = reps.select("doc_id", F.col("rep").alias("x"))
        second = reps.select(F.col("doc_id").alias("other"), F.col("rep").alias("y"))
        ends = edges.join(first, on="doc_id", how="inner").join(second, on="other", how="inner").filter("x <> y")
        agree = F.lit(None).cast("smallint").alias("agree")
        a, b = F.least("x", "y").alias("a"), F.greatest("x", "y").alias("b")
        return ends.select(a, b, agree, F.col("similarity").alias("meaning"))


@dataclass(frozen=True)
class ParticipantsTask:
    """A document shard, and the folder for the ids of its participants."""

    task: ShardTask
    folder: Path


def find_semantic_edges(
    cluster: Cluster, tasks: Sequence[ShardTask], edges: Sequence[str], count: int, folder: Path
) -> SemanticEdges:
    """Finds the participants of all shards, for `count` edges in files of `schemas.SEMANTIC_EDGES`."""
    if not edges:
        return SemanticEdges()
    answers = cluster.map(
        write_participants,
        [ParticipantsTask(task, folder) for task in tasks],
        label="near_dedup: edges by meaning",
        receipts=folder / "receipts",
    )
    return SemanticEdges(tuple(edges), count, tuple(path for answer in answers for path in answer))


def write_participants(job: ParticipantsTask) -> list[str]:
    """Task: the file of the ids of a shard's participants, if any; new ones have a semantic edge."""
    task = job.task
    evidence = evidence_of(task, ["row", "doc_id", "shingles"])
    if evidence is None:
        return []
    rows = evidence.column("row").to_numpy()
    takes_part = task.is_active(task.state())[rows]
    if not task.earlier:
        takes_part &= task.column(rows, "semantic_clusters", "semantic_size", 1) > 1
    participants = pa.table({"doc_id": evidence.column("doc_id")}).filter(pa.array(takes_part))
    if not participants.num_rows:
        return []
    folder = job.folder / str(ids.snapshot_of(task.shard.first_id))
    file = write_table(folder, f"participants-{task.shard.number:06d}", participants, kind="participants")
    return [str(folder / file.path)]
