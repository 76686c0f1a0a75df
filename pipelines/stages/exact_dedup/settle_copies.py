"""Settles which copy of a text is kept when it has contenders in several domains.

Once the rules of all domains have been applied, of the contenders that no rule dropped the one whose domain comes first
in the pipeline's `priority` wins; if all were dropped, the first of them. The others become exact duplicates of it. The
first decision that drops a document counts, so what a rule said about them no longer does. *Followers*, copies dropped
in favour of a contender that loses, now name the winner as their survivor.

Cost: a shuffle of narrow rows of texts that occur in several domains; nothing where there are none.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from corpus import ids
from corpus.files import FileEntry, Manifest, ManifestRef
from corpus.schemas import DROPS
from pipelines.spark.blocks import Block, Inbox, NextHop, by_id, by_shard, split
from pipelines.spark.exchange import Hop
from pipelines.spark.session import Cluster
from pipelines.spark.shard_files import write_rows_by_shard
from pipelines.stages.shard_task import ShardTask, read_own

CONTESTED_TABLES = ("contenders", "followers")


@dataclass(frozen=True)
class ContestedTask:
    """A document shard that holds contenders or followers, with the decisions taken after the provisional one."""

    task: ShardTask
    provisional: ManifestRef
    partitions: int
    priority: tuple[str, ...]


@dataclass(frozen=True)
class SettledFiles:
    """The settings of the hop that writes: the folder of the final decision, and the provisional decision."""

    folder: Path
    provisional: ManifestRef


def settle_copies(
    provisional: Manifest, tasks: Sequence[ShardTask], folder: Path, cluster: Cluster
) -> list[FileEntry] | None:
    """The files of the final decision of `exact_dedup`, in `folder`; None where there are no contenders.

    Each of the tasks has the decisions taken after the provisional one.
    """
    if not provisional.body["facts"]["contenders"]:
        return None
    partitions, priority = cluster.least_partitions, tuple(provisional.body["facts"]["priority"])
    drops = cluster.exchange(
        emit_contested,
        [
            ContestedTask(task, provisional.ref, partitions, priority)
            for task in tasks
            if any(provisional.of_shard(kind, task.shard.number) for kind in CONTESTED_TABLES)
        ],
        [Hop(elect, partitions, NextHop(partitions))],
        Hop(write_drops, partitions, SettledFiles(folder, provisional.ref)),
        label="exact_dedup: settle copies over domains",
    )
    written = {f.shard for f in drops}
    kept = [f for f in provisional.files if f.table == "columns" or (f.table == "drops" and f.shard not in written)]
    folder.mkdir(parents=True, exist_ok=True)
    for entry in kept:
        shutil.copy2(provisional.folder / entry.path, folder / entry.path)
    return [*drops, *kept]


def emit_contested(job: ContestedTask) -> Iterator[Block]:
    """Source: the contenders and followers of a shard, by text, and whether a rule has dropped them."""
    alive = job.task.state().alive
    for kind in CONTESTED_TABLES:
        table = read_own(job.provisional, kind, job.task)
        if table is not None:
            first = table.column("first_copy").to_numpy()
            rows = table.column("row").to_numpy()
            rank = job.task.ranks(rows, job.priority)
            columns = {"doc_id": table.column("doc_id"), "first_copy": first, "gone": ~alive[rows], "rank": rank}
            yield from split(kind, columns, by_id(first, job.partitions))


def elect(inbox: Inbox, writers: NextHop) -> Iterator[Block]:
    """Hop: contenders and followers of some texts → drops of all but the winners, by shard."""
    contenders = inbox.table("contenders")
    if contenders is None:
        return
    names = ("doc_id", "first_copy", "gone", "rank")
    doc_id, first, gone, rank = (contenders.column(name).to_numpy() for name in names)
    order = np.lexsort((doc_id, rank, gone, first))
    texts, leads = np.unique(first[order], return_index=True)
    winners = doc_id[order][leads]
    followers = inbox.table("followers")
    if followers is not None:
        doc_id = np.concatenate([doc_id, followers.column("doc_id").to_numpy()])
        first = np.concatenate([first, followers.column("first_copy").to_numpy()])
    winner = winners[np.searchsorted(texts, first)]
    losers = doc_id != winner
    columns = {"doc_id": doc_id[losers], "survivor": winner[losers]}
    yield from split("drops", columns, by_shard(doc_id[losers], writers.partitions))


def write_drops(inbox: Inbox, files: SettledFiles) -> Iterator[FileEntry]:
    """Last hop: each shard's provisional drops, those of contenders and followers replaced by the new ones."""
    table = inbox.table("drops")
    if table is None:
        return
    n = table.num_rows
    table = table.append_column("reason", pa.array(["exact_duplicate"] * n, pa.string()))
    table = table.append_column("similarity", pa.array(np.ones(n, np.float32)))
    names = ["doc_id", "reason", "survivor", "similarity"]
    doc_ids = table.column("doc_id").to_numpy()
    parts = [table.select(names)]
    provisional = files.provisional.open()
    for shard in np.unique(ids.shard_of(doc_ids)).tolist():
        old = provisional.read("drops", shard)
        if old is not None:
            parts.append(old.filter(pa.array(~np.isin(old.column("doc_id").to_numpy(), doc_ids))).select(names))
    merged = pa.concat_tables([p.cast(pa.schema([DROPS.field(n).with_nullable(True) for n in names])) for p in parts])
    yield from write_rows_by_shard(merged, "drops", DROPS, files.folder)
