"""An exchange without Spark: blocks in any order and cut in any way, and whole exchanges in one process."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import pyarrow as pa

from corpus.files import FileEntry, Manifest, commit, write_table
from corpus.run_folder import DocumentShard
from pipelines.spark.blocks import Block, Inbox, Record, pack, unpack
from pipelines.spark.exchange import Hop
from pipelines.spark.wire import answer_type, decode, encode, name_of
from pipelines.spark.worker import Called, emit_blocks, receive_blocks
from pipelines.stages.registry import shard_tasks
from pipelines.stages.shard_task import Chain, ShardTask

Task = TypeVar("Task")
Answered = TypeVar("Answered")


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
    """The rows of blocks, by kind, each with the `partition` it goes to."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for block in blocks:
        found[block.kind] += [{**row, "partition": block.partition} for row in block.rows.to_pylist()]
    return dict(found)


def exchange_here(
    source: Callable[[Task], Iterable[Block]],
    tasks: Sequence[Task],
    hops: Sequence[Hop[Any, Block]],
    last: Hop[Any, Answered],
    random: Random,
) -> list[Answered]:
    """What `Cluster.exchange` does, in this process: all crosses as JSON, and the records of each hop are shuffled."""
    texts = [encode(task) for task in tasks]
    random.shuffle(texts)
    records: list[Any] = list(emit_blocks(name_of(source), Called("here"), texts))
    for hop in hops:
        records = _received(hop, records, random, last=False)
    kind = answer_type(last.function)
    return [decode(kind, text) for text in _received(last, records, random, last=True)]


def _received(hop: Hop[Any, Any], records: list[Record], random: Random, last: bool) -> list[Any]:
    random.shuffle(records)
    boxes: dict[int, list[Record]] = {partition: [] for partition in range(hop.partitions)}
    for record in records:
        boxes[record[0]].append(record)
    name, settings = name_of(hop.function), encode(hop.settings)
    return [
        out
        for number, box in boxes.items()
        for out in receive_blocks(name, Called("here"), settings, last, number, box)
    ]


def committed(folder: Path, shard: int, **tables: pa.Table | Sequence[pa.Table]) -> Manifest:
    """A folder with the tables of one document shard; a table given in parts lies in several files, in that order."""
    files: list[FileEntry] = []
    for kind, given in tables.items():
        parts = [given] if isinstance(given, pa.Table) else given
        files += [write_table(folder, f"{kind}-{i}", part, kind=kind, shard=shard) for i, part in enumerate(parts)]
    return commit(folder, {}, files)


def task_of(
    shard: DocumentShard, evidence: Manifest | None = None, chain: Chain = (), earlier: bool = False
) -> ShardTask:
    """A task about one document shard, as the runner makes it."""
    (task,) = shard_tasks([shard], chain, evidence, earlier=earlier)
    return task
