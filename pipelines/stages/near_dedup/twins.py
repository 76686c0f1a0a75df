"""Twins: documents with equal token sequences. The first of them represents the others, and only it is banded.

So a million copies of a page that differ in case or spacing are one document in the buckets. Shuffled: 16 bytes a
document.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from corpus.files import Manifest
from pipelines.spark.blocks import Block, Inbox, NextHop, OutputFolder, by_hash, by_shard, split
from pipelines.spark.exchange import Hop, partitions_for
from pipelines.spark.session import Cluster
from pipelines.stages.near_dedup.tables import (
    TWINS,
    SnapshotFile,
    commit_snapshots,
    evidence_of,
    rows_in_buckets,
    write_by_snapshot,
)
from pipelines.stages.shard_task import ShardTask

TWIN_BYTES = 16


@dataclass(frozen=True)
class KeyTask:
    """A document shard whose hashes of token sequences are sent to so many partitions."""

    task: ShardTask
    partitions: int


def find_twins(cluster: Cluster, tasks: Sequence[ShardTask], documents: int, folder: Path) -> dict[int, Manifest]:
    """Finds twins: snapshot → table `twins`, below `folder`."""
    partitions, writers = partitions_for(documents, TWIN_BYTES, cluster.least_partitions), cluster.least_partitions
    files = cluster.exchange(
        emit_keys,
        [KeyTask(task, partitions) for task in tasks],
        [Hop(pair_twins, partitions, NextHop(writers))],
        Hop(write_twins, writers, OutputFolder(folder)),
        label="near_dedup: twins",
    )
    return commit_snapshots(folder, files)


def emit_keys(job: KeyTask) -> Iterator[Block]:
    """Source: the hash of each document's token sequence."""
    evidence = evidence_of(job.task, ["row", "doc_id", "shingles", "token_key"])
    if evidence is not None:
        keys = evidence.column("token_key").to_numpy()
        columns = {"key": keys, "doc_id": evidence.column("doc_id")}
        yield from split("keys", columns, by_hash(keys, job.partitions))


def pair_twins(inbox: Inbox, writers: NextHop) -> Iterator[Block]:
    """Hop: documents whose hash an earlier document has, with the earliest such document, by shard."""
    table = inbox.table("keys")
    if table is None:
        return
    keys, doc_ids = table.column("key").to_numpy(), table.column("doc_id").to_numpy()
    rows = rows_in_buckets(keys, doc_ids)
    keys, doc_ids = keys[rows], doc_ids[rows]
    first = np.ones(len(rows), np.bool_)
    first[1:] = keys[1:] != keys[:-1]
    rep = doc_ids[first][np.cumsum(first) - 1] if len(rows) else doc_ids
    twin = rep != doc_ids
    columns = {"doc_id": doc_ids[twin], "rep": rep[twin]}
    yield from split("twins", columns, by_shard(doc_ids[twin], writers.partitions))


def write_twins(inbox: Inbox, to: OutputFolder) -> Iterator[SnapshotFile]:
    """Last hop: writes table `twins`, one file for each snapshot and shard."""
    table = inbox.table("twins")
    if table is not None:
        yield from write_by_snapshot(table, "twins", TWINS, to.folder)
