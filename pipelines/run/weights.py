"""Weights: one narrow file for each published shard, in a folder named by a hash of the curves.

So a changed curve rewrites neither text nor token bins.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from corpus.files import FileEntry, Manifest, commit, load_manifest, place, stable_hash, write_table
from corpus.run_folder import RunFolder
from corpus.schemas import WEIGHTS
from pipelines.run.curves import Curve, Numbers, WeightsConfig
from pipelines.spark.session import Cluster
from pipelines.stages.context import remove_scratch


@dataclass(frozen=True)
class WeighTask:
    """A published shard to be weighed by the curve of its domain; for `cluster_scale` see `ClusterBalance.scale`."""

    shard: Path
    number: int
    folder: Path
    curve: Curve
    cluster_scale: float


def write_weights(run: RunFolder, config: WeightsConfig, published: Manifest, cluster: Cluster) -> Manifest:
    """Writes `RUN/weights/<hash of the curves and the shards>`, unless it is there; its manifest."""
    key = stable_hash([config.model_dump(mode="json"), published.body["key"]])
    folder = run.root / "weights" / key
    manifest = load_manifest(folder)
    if manifest is None:
        shards = [f for f in published.files if f.table == "published"]
        sizes = cell_sizes(run)
        curves = [config.curve(f.info["domain"]) for f in shards]
        scratch = folder.with_name(f"{key}.scratch")
        entries = cluster.map(
            weigh_shard,
            [
                WeighTask(published.folder / f.path, i, scratch, curve, curve.cluster.scale(*sizes))
                for i, (f, curve) in enumerate(zip(shards, curves, strict=True))
            ],
            label="weights",
            receipts=scratch / "receipts",
            weights=[f.rows for f in shards],
        )
        entries = [place(folder, entry, f.path, scratch) for entry, f in zip(entries, shards, strict=True)]
        manifest = commit(folder, {"key": key, "config": config.model_dump(mode="json")}, entries)
        remove_scratch(scratch)
    state = run.state()
    if state.get("weights") != key:
        run.write_state({**state, "weights": key})
    return manifest


def cell_sizes(run: RunFolder) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Documents of each cell of embeddings, and how many of them are this run's, int64[n] each; empty without cells."""
    names = ["cluster_size", "new_documents"]
    found = [decision.read_all("cells", names) for _, decision in run.chain()]
    tables = [table for table in found if table is not None]
    first, second = (
        np.concatenate([np.zeros(0, np.int64), *(t.column(name).to_numpy() for t in tables)]) for name in names
    )
    return first, second


def weigh_shard(task: WeighTask) -> FileEntry:
    """Task: writes the weights of one published shard, row by row."""
    scores = {"quality": "quality", "language": "language_score", "safety": "safety", "density": "density"}
    names = ["doc_id", "frequency", "url", "cluster_size", *scores.values()]
    there = set(pq.read_schema(task.shard).names)  # shards of an earlier version have fewer columns
    table = pq.read_table(task.shard, columns=[n for n in names if n in there], partitioning=None)
    curve = task.curve

    def numbers(name: str) -> Numbers:
        return table.column(name).to_numpy(zero_copy_only=False) if name in there else np.full(len(table), np.nan)

    known = {name: numbers(of) for name, of in scores.items()}
    frequency = table.column("frequency").fill_null(1).to_numpy()
    sizes = numbers("cluster_size")
    cluster = curve.cluster.factors(sizes, task.cluster_scale)
    weights = curve.weigh(frequency, **known, cluster=cluster, raised=curve.raised.factors(table.column("url")))
    rows = pa.table([table.column("doc_id"), pa.array(weights)], schema=WEIGHTS)
    return write_table(task.folder, "weights", rows, kind="weights", shard=task.number)
