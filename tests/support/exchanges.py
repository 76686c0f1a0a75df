"""An exchange without Spark: blocks in any order and cut in any way, and whole exchanges in one process."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import pyarrow as pa

from corpus.run_folder import DocumentShard
from corpus.shard_state import DecisionFiles
from pipelines.spark.exchange import Block, Hop, Inbox, Record, pack, unpack
from pipelines.spark.worker import emit_blocks, receive_blocks
from pipelines.stages.shard_task import ShardTask


def cut_anyhow(kind: str, table: pa.Table, random: Random) -> list[Block]:
    """The rows of a table, shuffled, as blocks of random size; some are empty, most are slices with an offset."""
    order = list(range(table.num_rows))
    random.shuffle(order)
    table = table.take(pa.array(order, pa.int64()))
    cuts = sorted(random.randint(0, table.num_rows) for _ in range(random.randint(0, 4)))
    bounds = [0, *cuts, table.num_rows]
    return [Block(0, kind, table.slice(a, b - a)) for a, b in zip(bounds[:-1], bounds[1:], strict=True)]


def inbox_of(tables: Mapping[str, pa.Table], random: Random) -> Inbox:
    """What arrives of some tables at a partition."""
    records = [record for kind, table in tables.items() for record in pack(cut_anyhow(kind, table, random))]
    random.shuffle(records)
    return unpack(0, records)


def by_kind(blocks: Sequence[Block]) -> dict[str, list[dict[str, Any]]]:
    """The rows of blocks, by kind, each with the ``partition`` it goes to."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for block in blocks:
        found[block.kind] += [{**row, "partition": block.partition} for row in block.rows.to_pylist()]
    return dict(found)


def exchange_here(
    source: str, payloads: Sequence[Mapping[str, Any]], hops: Sequence[Hop], random: Random
) -> list[dict[str, Any]]:
    """What ``Cluster.exchange`` does, in this process, with the records of each hop shuffled."""
    texts = [json.dumps({**payload, "label": "here"}) for payload in payloads]
    random.shuffle(texts)
    records: list[Any] = list(emit_blocks(source, texts))
    for number, hop in enumerate(hops):
        random.shuffle(records)
        boxes: dict[int, list[Record]] = {partition: [] for partition in range(hop.partitions)}
        for record in records:
            boxes[record[0]].append(record)
        settings, last = json.dumps({**hop.settings, "label": "here"}), number == len(hops) - 1
        records = [r for p, box in boxes.items() for r in receive_blocks(hop.function, settings, last, p, box)]
    return [json.loads(answer) for answer in records]


def shard_payload(
    shard: DocumentShard, evidence: Sequence[str] = (), chain: Sequence[DecisionFiles] = (), **extra: Any
) -> dict[str, Any]:
    """A task about a document shard, as ``DecisionContext.payloads`` makes it."""
    folder = extra.pop("folder", shard.path.parent)
    task = ShardTask(shard, tuple(chain), "near_dedup", {}, {}, {}, tuple(evidence), folder, 0)
    return json.loads(json.dumps({**task.payload(), **extra}))  # type: ignore[no-any-return]
