"""The task side of an exchange: blocks of narrow rows, each addressed to a numbered partition.

A block is an Arrow table of some thousand rows. Blocks arrive in any order and are sorted by their bytes; a hop that
sorts its rows by a total order, as all of ours do, gives the same rows whatever the number of partitions, tasks or
retries.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpus import ids

Record = tuple[int, tuple[str, bytes]]


class Block(NamedTuple):
    """Rows for one partition of the next hop."""

    partition: int
    kind: str
    rows: pa.Table


@dataclass(frozen=True)
class Inbox:
    """The rows that arrived at one partition, by kind."""

    partition: int
    tables: Mapping[str, pa.Table]

    def table(self, kind: str) -> pa.Table | None:
        """The rows of a kind, or None where none came."""
        return self.tables.get(kind)


@dataclass(frozen=True)
class NextHop:
    """The settings of a hop that only needs to know how many partitions the next one has."""

    partitions: int


@dataclass(frozen=True)
class OutputFolder:
    """The settings of a last hop that only needs to know where its files go."""

    folder: Path


def split(kind: str, columns: Mapping[str, Any], target: npt.NDArray[Any]) -> Iterator[Block]:
    """Cuts rows (name → array of n values, numpy or Arrow) into blocks by their target partition, int[n]."""
    if not len(target):
        return
    target = target.astype(np.uint16)  # numpy sorts 16-bit keys by radix
    order = np.argsort(target, kind="stable")
    table = pa.table(columns).take(pa.array(order))
    for partition, low, high in runs_of(target[order]):
        yield Block(partition, kind, table.slice(low, high - low))


def runs_of(values: npt.NDArray[Any]) -> Iterator[tuple[int, int, int]]:
    """Runs of equal integers: (value, position where the run begins, position where it ends)."""
    bounds = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)]
    for low, high in zip(bounds[:-1], bounds[1:], strict=True):
        if high > low:
            yield int(values[low]), low, high


def by_hash(keys: npt.NDArray[np.int64], partitions: int) -> npt.NDArray[np.uint16]:
    """The partition of each (already mixed) 64-bit key."""
    return ((keys.view(np.uint64) >> np.uint64(32)) % np.uint64(partitions)).astype(np.uint16)


def by_id(numbers: npt.NDArray[np.int64], partitions: int) -> npt.NDArray[np.uint16]:
    """The partition of each 64-bit number that is not a hash, such as an id: it is mixed first."""
    return by_hash((numbers.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)).view(np.int64), partitions)


def by_shard(doc_ids: npt.NDArray[np.int64], partitions: int) -> npt.NDArray[np.uint16]:
    """The partition that writes the files of each document's shard."""
    return (ids.shard_of(doc_ids) % partitions).astype(np.uint16)


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
    read = {kind: [pa.ipc.open_stream(data).read_all() for data in sorted(kinds[kind])] for kind in sorted(kinds)}
    return Inbox(partition, {kind: pa.concat_tables(tables) for kind, tables in read.items()})
