"""``near_dedup``: the edges by meaning that ``semantic_clusters`` has found, as far as their documents take part.

A document may have a vector and no part here: its domain skips the stage, or it has no token. The ids of those that do
are written by a task a shard; of earlier snapshots these are all kept documents, so the driver reads them file by file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from corpus.files import write_table
from corpus.shard_state import load_state, read_files
from dedup.graph import NO_MEANING
from pipelines.spark.session import Cluster
from pipelines.stages.near_dedup.buckets import EDGE, evidence_of_shard
from pipelines.stages.shard_task import ShardTask, earlier_column

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@dataclass(frozen=True)
class Meant:
    """Edges by meaning that ``semantic_clusters`` found, between documents that take part in this stage.

    Attributes:
        paths: files of ``schemas.SEMANTIC_EDGES``.
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
            ids = pq.read_table(path, partitioning=None).column("doc_id").to_numpy()
            at = np.minimum(np.searchsorted(ends, ids), len(ends) - 1)
            known[at[ends[at] == ids]] = True
        here = known[np.searchsorted(ends, a)] & known[np.searchsorted(ends, b)]
        return a[here], b[here], table.column("similarity").to_numpy()[here]

    def frame(self, spark: Any, same: DataFrame) -> DataFrame:
        """The same for Spark, between representatives: ``a``, ``b``, ``agree`` (null), ``meaning``."""
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


def find_meant(
    cluster: Cluster, payloads: Sequence[Mapping[str, Any]], edges: Sequence[str], count: int, folder: Path
) -> Meant:
    """The edges by meaning, and which of their documents take part here: alive, not skipped, with a token."""
    if not edges:
        return Meant()
    tasks = [{**p, "into": str(folder)} for p in payloads]
    answers = cluster.map(
        "pipelines.stages.near_dedup.semantic_edges:known_of_shard",
        tasks,
        label="near_dedup: edges by meaning",
        receipts=folder / "receipts",
    )
    return Meant(tuple(edges), count, tuple(a["file"] for a in answers if a["file"]))


def known_of_shard(payload: dict[str, Any]) -> dict[str, Any]:
    """Task: the ids of a shard's documents that take part here; of new ones, those with an edge by meaning."""
    evidence = evidence_of_shard(payload, ["row", "doc_id", "shingles"])
    if evidence is None:
        return {"file": None}
    task = ShardTask.of(payload)
    taken = np.zeros(task.shard.rows, np.bool_)
    taken[task.taken(load_state(task.chain, task.shard.rows))] = True
    taken = taken[evidence.column("row").to_numpy()]
    if not payload.get("earlier"):
        rows = evidence.column("row").to_numpy()
        taken &= earlier_column(task, rows, "semantic_clusters", "semantic_size", 1) > 1
    known = pa.table({"doc_id": evidence.column("doc_id")}).filter(pa.array(taken))
    if not known.num_rows:
        return {"file": None}
    folder = Path(payload["into"]) / str(payload["snapshot"])
    return {"file": str(folder / write_table(folder, f"known-{task.shard.number:06d}", known, kind="known").path)}
