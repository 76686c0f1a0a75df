"""The shuffle of Tamis: tasks emit *blocks* of narrow rows for numbered partitions, Spark carries them, tasks sort.

    source(payload) ──blocks──▶ hop(partition, inbox) ──blocks──▶ … ──▶ last hop(partition, inbox) → answers

A block is an Arrow table of some thousand rows. Spark sees one opaque record a block and does what it is good at: it
moves, spills, fetches and retries. Rows never become JVM objects; sorting and grouping happen in numpy, which costs a
tenth of a shuffle join over the same rows in Spark SQL (``docs/design/exchange.md``). A task holds one partition's
rows, so that memory is bounded by ``partitions``, which grows with the data.

Blocks arrive in any order and are put in order of their bytes; a hop that sorts by a total order (all of ours do) gives
the same rows whatever the number of partitions, tasks or retries.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpus import ids
from corpus.files import FileEntry, write_table
from pipelines.spark.gpu import with_gpu
from pipelines.spark.worker import emit_blocks, receive_blocks

TARGET_BYTES = 64 << 20
"""Rows of one partition of a hop, in bytes: what a task holds, twice while it sorts."""
MAX_PARTITIONS = 32_000

Record = tuple[int, tuple[str, bytes]]


class Block(NamedTuple):
    """Rows for one partition of the next hop."""

    partition: int
    kind: str
    rows: pa.Table


@dataclass(frozen=True)
class Inbox:
    """What arrived at one partition.

    Attributes:
        partition: its number.
        tables: the rows of each kind.
    """

    partition: int
    tables: Mapping[str, pa.Table]

    def table(self, kind: str) -> pa.Table | None:
        """The rows of a kind, or None where none came."""
        return self.tables.get(kind)


@dataclass(frozen=True)
class Hop:
    """One receiving side of an exchange.

    Attributes:
        function: ``module:function``, called with (inbox, settings); yields blocks, or answers in the last hop.
        partitions: how many.
        settings: JSON-able.
    """

    function: str
    partitions: int
    settings: dict[str, Any] = field(default_factory=dict)


def partitions_for(rows: int, row_bytes: int, least: int) -> int:
    """How many partitions keep each below ``TARGET_BYTES``; at least ``least``."""
    return int(min(MAX_PARTITIONS, max(least, -(-rows * row_bytes // TARGET_BYTES), 1)))


def split(kind: str, columns: Mapping[str, Any], target: npt.NDArray[Any]) -> Iterator[Block]:
    """Cuts rows into blocks by their target partition.

    Args:
        kind: of the blocks.
        columns: name → array of n values (numpy or Arrow).
        target: int[n], the partition of each row.
    """
    if not len(target):
        return
    target = target.astype(np.uint16)  # numpy sorts 16-bit keys by radix
    order = np.argsort(target, kind="stable")
    table = pa.table(columns).take(pa.array(order))
    found, starts = np.unique(target[order], return_index=True)
    bounds = [*starts.tolist(), len(target)]
    for partition, low, high in zip(found.tolist(), bounds[:-1], bounds[1:], strict=True):
        yield Block(partition, kind, table.slice(low, high - low))


def by_hash(keys: npt.NDArray[np.int64], partitions: int) -> npt.NDArray[np.uint16]:
    """The partition of each (already mixed) 64-bit key."""
    return ((keys.view(np.uint64) >> np.uint64(32)) % np.uint64(partitions)).astype(np.uint16)


def by_id(numbers: npt.NDArray[np.int64], partitions: int) -> npt.NDArray[np.uint16]:
    """The partition of each 64-bit number that is no hash, such as an id."""
    return by_hash((numbers.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)).view(np.int64), partitions)


def by_shard(doc_ids: npt.NDArray[np.int64], partitions: int) -> npt.NDArray[np.uint16]:
    """The partition that writes the files of each document's shard."""
    return (((doc_ids >> ids.ROW_BITS) & ids.MAX_SHARD) % partitions).astype(np.uint16)


# ------------------------------------------------------------------------------------------------------ in the driver


def build(
    context: Any, source: str, payloads: Sequence[Mapping[str, Any]], hops: Sequence[Hop], label: str, gpu: bool = False
) -> Any:  # an RDD[str]: the answers as JSON
    """The exchange as a lazy RDD of the last hop's answers.

    Args:
        context: the SparkContext.
        source: ``module:function``, called with a payload; yields blocks.
        payloads: one task each.
        hops: at least one.
        label: for error messages.
        gpu: whether the source's tasks want a GPU each.
    """
    texts = [json.dumps({**p, "label": label}, ensure_ascii=False) for p in payloads]
    rdd = with_gpu(context.parallelize(texts, max(1, len(texts))).mapPartitions(partial(emit_blocks, source)), gpu)
    for number, hop in enumerate(hops):
        settings = json.dumps({**hop.settings, "label": label}, ensure_ascii=False)
        last = number == len(hops) - 1
        step = partial(receive_blocks, hop.function, settings, last)
        rdd = rdd.partitionBy(hop.partitions, _identity).mapPartitionsWithIndex(step)
    return rdd


def _identity(partition: int) -> int:
    return partition


# ------------------------------------------------------------------------------------------------------------ in tasks


def run_step(label: str, function: str, *arguments: Any) -> Iterator[Any]:
    """Runs a source or a hop; its failure names the step in one line."""
    import traceback

    module, name = function.split(":")
    try:
        yield from getattr(importlib.import_module(module), name)(*arguments)
    except Exception as error:
        raise RuntimeError(f"{label}: {type(error).__name__}: {error}\n{traceback.format_exc()}") from None


def pack(blocks: Iterable[Block]) -> Iterator[Record]:
    """Blocks as what Spark carries; empty ones are left out."""
    for block in blocks:
        if block.rows.num_rows:
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, block.rows.schema) as writer:
                writer.write_table(block.rows.combine_chunks())
            yield block.partition, (block.kind, sink.getvalue().to_pybytes())


def unpack(partition: int, records: Iterable[Record]) -> Inbox:
    """All rows of a partition, by kind."""
    kinds: dict[str, list[bytes]] = {}
    for _, (kind, data) in records:
        kinds.setdefault(kind, []).append(data)
    tables = {}
    for kind in sorted(kinds):
        tables[kind] = pa.concat_tables([pa.ipc.open_stream(data).read_all() for data in sorted(kinds[kind])])
    return Inbox(partition, tables)


# -------------------------------------------------------------------------------------------- the last hop of decisions


def write_by_shard(inbox: Inbox, settings: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Last hop: writes each kind's rows to one file a document shard, sorted by document (and start).

    Args:
        inbox: rows with ``doc_id``, by kind.
        settings: ``folder``; ``schemas``: kind → the hex of a serialised schema whose first field is ``row``.

    Yields:
        ``FileEntry`` as a dict.
    """
    for kind, schema_hex in settings["schemas"].items():
        table = inbox.table(kind)
        if table is not None:
            schema = pa.ipc.read_schema(pa.py_buffer(bytes.fromhex(schema_hex)))
            for entry in write_rows_by_shard(table, kind, schema, Path(settings["folder"])):
                yield asdict(entry)


def schemas_as_text(schemas: Mapping[str, pa.Schema]) -> dict[str, str]:
    """Schemas for ``write_by_shard``'s settings."""
    return {kind: schema.serialize().to_pybytes().hex() for kind, schema in schemas.items()}


def row_order(schema: pa.Schema) -> list[str]:
    """What the rows of a shard's file are sorted by: a total order, so that equal rows give equal bytes."""
    return ["doc_id", *(name for name in ("start", "other") if name in schema.names)]


def write_rows_by_shard(table: pa.Table, kind: str, schema: pa.Schema, folder: Path) -> Iterator[FileEntry]:
    """Writes rows with ``doc_id`` to one file a document shard; ``row`` is taken from the id."""
    table = table.sort_by([(name, "ascending") for name in row_order(schema)])
    doc_ids = table.column("doc_id").to_numpy()
    shards = (doc_ids >> ids.ROW_BITS) & ids.MAX_SHARD
    row = pa.array((doc_ids & ids.MAX_ROW).astype(np.int32))
    columns = {name: row if name == "row" else table.column(name) for name in schema.names}
    whole = pa.table({name: columns[name].cast(schema.field(name).type) for name in schema.names}).cast(schema)
    bounds = [0, *(np.flatnonzero(np.diff(shards)) + 1).tolist(), len(shards)]
    for low, high in zip(bounds[:-1], bounds[1:], strict=True):
        if high > low:
            shard = int(shards[low])
            part = whole.slice(low, high - low).combine_chunks()
            yield write_table(folder, f"{kind}-{shard:06d}", part, kind=kind, shard=shard)
