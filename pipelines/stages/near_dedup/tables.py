"""The narrow tables that pass between the steps of `near_dedup`, and how these steps read a shard's evidence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpus import ids
from corpus.files import FileEntry, Manifest, ManifestRef, commit_by_content
from pipelines.spark.shard_files import write_rows_by_shard
from pipelines.stages.shard_task import Int64, ShardTask

STAGE = "near_dedup"
EDGE = "a BIGINT, b BIGINT, agree SMALLINT"
"""A candidate edge: two ids, a < b, and how many bits their sketches agree in."""
TWINS = pa.schema({"row": pa.int32(), "doc_id": pa.int64(), "rep": pa.int64()})
"""Documents whose token sequence an earlier document has, and that document, their representative."""
MEMBERS = pa.schema(
    {
        "row": pa.int32(),
        "doc_id": pa.int64(),
        "rep": pa.int64(),
        "component": pa.int64(),
        "wanted": pa.bool_(),
        "meant": pa.bool_(),
    }
)
"""Documents in candidate edges: their representative, their candidate component, whether their shingles are needed, and
whether they have an edge by meaning.
"""
PAIRS = pa.schema(
    {"row": pa.int32(), "doc_id": pa.int64(), "other": pa.int64(), "component": pa.int64(), "meaning": pa.float32()}
)
"""Distinct candidate edges between representatives, `doc_id < other`.

`meaning` is the cosine of a semantic edge, NaN for the others.
"""


@dataclass(frozen=True)
class SnapshotFile:
    """A file about documents of one snapshot."""

    snapshot: int
    file: FileEntry


def write_by_snapshot(table: pa.Table, kind: str, schema: pa.Schema, folder: Path) -> Iterator[SnapshotFile]:
    """Writes rows that have a `doc_id`: one folder a snapshot, one file a shard."""
    snapshots = ids.snapshot_of(table.column("doc_id").to_numpy())
    for snapshot in np.unique(snapshots).tolist():
        part = table.filter(pa.array(snapshots == snapshot))
        for file in write_rows_by_shard(part, kind, schema, folder / str(snapshot)):
            yield SnapshotFile(snapshot, file)


def commit_snapshots(folder: Path, files: Iterable[SnapshotFile]) -> dict[int, Manifest]:
    """Commits the files that `write_by_snapshot` wrote: snapshot → manifest."""
    entries: dict[int, list[FileEntry]] = {}
    for written in files:
        entries.setdefault(written.snapshot, []).append(written.file)
    return {snapshot: commit_by_content(folder / str(snapshot), own) for snapshot, own in entries.items()}


def ref_of(manifests: Mapping[int, Manifest], task: ShardTask) -> ManifestRef | None:
    """The manifest of the snapshot that the task's shard belongs to; None where there is none."""
    found = manifests.get(ids.snapshot_of(task.shard.first_id))
    return None if found is None else found.ref


def evidence_of(task: ShardTask, names: list[str]) -> pa.Table | None:
    """The evidence about a shard's documents that have tokens; of an earlier snapshot, only about those it kept."""
    evidence = task.read_evidence(names)
    if evidence is None:
        return None
    keep = evidence.column("shingles").to_numpy() > 0
    if task.earlier:
        keep &= task.state().alive[evidence.column("row").to_numpy()]
    return evidence.filter(pa.array(keep)).combine_chunks()


def rows_in_buckets(keys: npt.NDArray[np.int64], doc_ids: Int64) -> Int64:
    """The rows that share their key with another, sorted by (key, id); int64[m]."""
    order = np.argsort(keys)
    same = keys[order][1:] == keys[order][:-1]
    shared = np.zeros(len(keys), np.bool_)
    shared[1:] |= same
    shared[:-1] |= same
    rows = order[shared]
    return rows[np.lexsort((doc_ids[rows], keys[rows]))]
