"""Settles which copy of a text stays when it has contenders in several domains.

After the rules of each domain have spoken, the earliest contender that none of them dropped wins; if all were dropped,
the earliest. The others become exact duplicates of it, and, as the first decision that drops a document wins, what a
rule said about them no longer counts. Copies that had been dropped in favour of a losing contender point to the
winner.

Cost: narrow rows of texts that occur in several domains; nothing where there are none.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from corpus import ids
from corpus.files import FileEntry, Manifest, commit, load_manifest, stable_hash
from corpus.run_folder import RunFolder
from corpus.schemas import DROPS
from corpus.shard_state import load_state, read_files
from pipelines.spark.exchange import Block, Hop, Inbox, by_id, by_shard, split, write_rows_by_shard
from pipelines.spark.session import Cluster
from pipelines.stages.shard_task import ShardTask, decision_files


def settle_copies(
    run: RunFolder, provisional: Manifest, chain: Sequence[tuple[str, Manifest]], cluster: Cluster
) -> Manifest:
    """The final decision of ``exact_dedup``.

    Args:
        run: the run folder.
        provisional: its first decision, with contenders.
        chain: all decisions so far.
        cluster: Spark.

    Returns:
        A decision whose manifest says ``settled``; the provisional one's files where nothing contends.
    """
    position = [name for name, _ in chain].index("exact_dedup")
    later = [(name, m) for name, m in chain[position + 1 :]]
    key = stable_hash([provisional.body["key"], [m.body["key"] for _, m in later]])
    folder = run.stage_folder("exact_dedup", "decision", f"{key}-settled")
    done = load_manifest(folder)
    if done is not None:
        return done
    body = {**provisional.body, "key": key, "settled": True}
    if not provisional.body["facts"]["contenders"]:
        return Manifest(provisional.folder, body, provisional.files)
    drops = _settled(run, provisional, later, cluster, folder)
    written = {f.shard for f in drops}
    kept = [f for f in provisional.files if f.table == "columns" or (f.table == "drops" and f.shard not in written)]
    folder.mkdir(parents=True, exist_ok=True)
    for entry in kept:
        shutil.copy2(provisional.folder / entry.path, folder / entry.path)
    return commit(folder, body, [*drops, *kept])


def _settled(
    run: RunFolder, provisional: Manifest, later: Sequence[tuple[str, Manifest]], cluster: Cluster, folder: Path
) -> list[FileEntry]:
    """The drops of every shard that holds a contested text."""
    partitions = cluster.least_partitions
    payloads = []
    for shard in run.shards:
        contested = {kind: provisional.paths_of_shard(kind, shard.number) for kind in ("contenders", "followers")}
        if any(contested.values()):
            task = ShardTask(shard, decision_files(later, shard), "", {}, {}, {}, (), folder, 0)
            payloads.append({**task.payload(), **contested, "partitions": partitions})
    earlier = {str(s.number): provisional.paths_of_shard("drops", s.number) for s in run.shards}
    answers = cluster.exchange(
        "pipelines.run.settle_copies:emit_contested",
        payloads,
        [
            Hop("pipelines.run.settle_copies:elect", partitions, {"writers": partitions}),
            Hop("pipelines.run.settle_copies:write_drops", partitions, {"folder": str(folder), "earlier": earlier}),
        ],
        label="exact_dedup: settle copies over domains",
    )
    return [FileEntry(**a) for a in answers]


def emit_contested(payload: dict[str, Any]) -> Iterator[Block]:
    """Source: the contested documents of a shard, by text, with what the rules said about contenders."""
    task = ShardTask.of(payload)
    alive = load_state(task.chain, task.shard.rows).alive
    for kind in ("contenders", "followers"):
        table = read_files(payload[kind])
        if table is not None:
            first = table.column("first_copy").to_numpy()
            gone = ~alive[table.column("row").to_numpy()]
            columns = {"doc_id": table.column("doc_id"), "first_copy": first, "gone": gone}
            yield from split(kind, columns, by_id(first, payload["partitions"]))


def elect(inbox: Inbox, settings: dict[str, Any]) -> Iterator[Block]:
    """Hop: the contested documents of some texts → the drops of all but the winner, by shard."""
    contenders = inbox.table("contenders")
    if contenders is None:
        return
    doc_id, first, gone = (contenders.column(name).to_numpy() for name in ("doc_id", "first_copy", "gone"))
    order = np.lexsort((doc_id, gone, first))
    texts, leads = np.unique(first[order], return_index=True)
    winners = doc_id[order][leads]
    followers = inbox.table("followers")
    if followers is not None:
        doc_id = np.concatenate([doc_id, followers.column("doc_id").to_numpy()])
        first = np.concatenate([first, followers.column("first_copy").to_numpy()])
    winner = winners[np.searchsorted(texts, first)]
    losers = doc_id != winner
    columns = {"doc_id": doc_id[losers], "survivor": winner[losers]}
    yield from split("drops", columns, by_shard(doc_id[losers], settings["writers"]))


def write_drops(inbox: Inbox, settings: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Last hop: each shard's first drops, with those of contested texts in place of what was said about them."""
    table = inbox.table("drops")
    if table is None:
        return
    n = table.num_rows
    table = table.append_column("reason", pa.array(["exact_duplicate"] * n, pa.string()))
    table = table.append_column("similarity", pa.array(np.ones(n, np.float32)))
    names = ["doc_id", "reason", "survivor", "similarity"]
    doc_ids = table.column("doc_id").to_numpy()
    parts = [table.select(names)]
    for shard in np.unique((doc_ids >> ids.ROW_BITS) & ids.MAX_SHARD).tolist():
        old = read_files(settings["earlier"][str(shard)])
        if old is not None:
            parts.append(old.filter(pa.array(~np.isin(old.column("doc_id").to_numpy(), doc_ids))).select(names))
    merged = pa.concat_tables([p.cast(pa.schema([DROPS.field(n).with_nullable(True) for n in names])) for p in parts])
    for entry in write_rows_by_shard(merged, "drops", DROPS, Path(settings["folder"])):
        yield asdict(entry)
