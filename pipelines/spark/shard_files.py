"""The last hop of a decision: rows of many shards come in, one file for each kind and document shard is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from corpus import ids
from corpus.files import FileEntry, write_table
from pipelines.spark.blocks import Inbox, runs_of
from pipelines.spark.wire import WireSchema


@dataclass(frozen=True)
class ShardFiles:
    """The settings of the hop that writes: the folder, and kind → schema of its files; the first field is `row`."""

    folder: Path
    schemas: dict[str, WireSchema]


def write_by_shard(inbox: Inbox, files: ShardFiles) -> Iterator[FileEntry]:
    """Last hop: writes the rows of each kind to one file a document shard; they have a `doc_id`."""
    for kind, schema in files.schemas.items():
        table = inbox.table(kind)
        if table is not None:
            yield from write_rows_by_shard(table, kind, schema, files.folder)


def row_order(schema: pa.Schema) -> list[str]:
    """The columns that a shard's rows are sorted by: a total order, so that equal rows give equal bytes."""
    return ["doc_id", *(name for name in ("start", "other") if name in schema.names)]


def write_rows_by_shard(table: pa.Table, kind: str, schema: pa.Schema, folder: Path) -> Iterator[FileEntry]:
    """Writes rows of one snapshot, sorted, to one file a document shard; `row` is taken from `doc_id`."""
    table = table.sort_by([(name, "ascending") for name in row_order(schema)])
    yield from write_sorted_rows(table, kind, schema, folder)


def write_sorted_rows(table: pa.Table, kind: str, schema: pa.Schema, folder: Path) -> Iterator[FileEntry]:
    """The same for rows that are sorted already."""
    doc_ids = table.column("doc_id").to_numpy()
    row = pa.array(ids.row_of(doc_ids).astype(np.int32))
    columns = {name: row if name == "row" else table.column(name) for name in schema.names}
    whole = pa.table({name: columns[name].cast(schema.field(name).type) for name in schema.names}).cast(schema)
    for shard, low, high in runs_of(ids.shard_of(doc_ids)):
        yield write_table(folder, f"{kind}-{shard:06d}", whole.slice(low, high - low), kind=kind, shard=shard)
