"""Twins: documents of one token sequence. The first of them stands for all, and it alone is banded.

A million copies of a page that differ in case or spacing are one document to the buckets. Shuffled: 16 bytes a
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
    in_buckets,
    write_by_snapshot,
)
from pipelines.stages.shard_task import ShardTask

TWIN_BYTES = 16


@dataclass(frozen=True)
class KeyTask:
    """A document shard whose token keys are sent to so many partitions."""

    task: ShardTask
    partitions: int


def find_twins(cluster: Cluster, tasks: Sequence[ShardTask], documents: int, folder: Path) -> dict[int, Manifest]:
    """Finds documents of one token sequence: snapshot → table `twins`.

    Args:
        cluster: Spark.
        tasks: document shards.
        documents: of all shards.
        folder: where the table is written.
    """
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
    """Source: the token key of each document."""
    evidence = evidence_of(job.task, ["row", "doc_id", "shingles", "token_key"])
    if evidence is not None:
        keys = evidence.column("token_key").to_numpy()
        columns = {"key": keys, "doc_id": evidence.column("doc_id")}
        yield from split("keys", columns, by_hash(keys, job.partitions))


def pair_twins(inbox: Inbox, writers: NextHop) -> Iterator[Block]:
    """Hop: the documents whose key another one has, with the least of them, by shard."""
    table = inbox.table("keys")
    if table is None:
        return
    keys, doc_ids = table.column("key").to_numpy(), table.column("doc_id").to_numpy()
    rows = in_buckets(keys, doc_ids)
    keys, doc_ids = keys[rows], doc_ids[rows]
    first = np.ones(len(rows), np.bool_)
    first[1:] = keys[1:] != keys[:-1]
    rep = doc_ids[first][np.cumsum(first) - 1] if len(rows) else doc_ids
    twin = rep != doc_ids
    columns = {"doc_id": doc_ids[twin], "rep": rep[twin]}
    yield from split("twins", columns, by_shard(doc_ids[twin], writers.partitions))


def write_twins(inbox: Inbox, to: OutputFolder) -> Iterator[SnapshotFile]:
    """Last hop: one file a snapshot and shard."""
    table = inbox.table("twins")
    if table is not None:
        yield from write_by_snapshot(table, "twins", TWINS, to.folder)
