"""DataFrames over narrow tables: how their rows are written by document shard, and how their lineage is cut."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from corpus import ids
from corpus.files import FileEntry
from pipelines.spark.blocks import runs_of
from pipelines.spark.shard_files import row_order, write_sorted_rows

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def scatter(frame: DataFrame, kind: str, schema: pa.Schema, folder: Path) -> list[FileEntry]:
    """Writes the rows of one snapshot to one file a document shard. One shuffle of narrow rows, by shard.

    The frame has `doc_id` and the columns of `schema` other than its first, `row`.
    """
    from pyspark.sql import functions as F

    order = row_order(schema)
    target, text = str(folder), schema.serialize().to_pybytes()

    def write(batches):  # type: ignore[no-untyped-def]
        from pipelines.spark.worker import unpack_code

        unpack_code()
        from pipelines.spark.frames import write_scattered

        for entry in write_scattered(batches, kind, text, target):
            yield pa.RecordBatch.from_pydict({"entry": [json.dumps(asdict(entry))]})

    parts = int(frame.sparkSession.conf.get("spark.sql.shuffle.partitions") or "8")
    rows = (
        frame.withColumn("shard", F.shiftright("doc_id", ids.ROW_BITS).bitwiseAND(ids.MAX_SHARD).cast("int"))
        .repartition(parts, "shard")
        .sortWithinPartitions(*order)
        .mapInArrow(write, "entry STRING")
        .collect()
    )
    return [FileEntry(**json.loads(row.entry)) for row in rows]


def write_scattered(
    batches: Iterable[pa.RecordBatch], kind: str, schema_bytes: bytes, folder: str
) -> Iterator[FileEntry]:
    """Task side of `scatter`: rows arrive sorted by `doc_id`; a file is written whenever the shard changes."""
    schema = pa.ipc.read_schema(pa.py_buffer(schema_bytes))
    pending: list[pa.RecordBatch] = []
    current = -1
    for batch in batches:
        for shard, low, high in runs_of(batch.column("shard").to_numpy()):
            if pending and shard != current:
                yield from write_sorted_rows(pa.Table.from_batches(pending), kind, schema, Path(folder))
                pending = []
            current = shard
            pending.append(batch.slice(low, high - low))
    if pending:
        yield from write_sorted_rows(pa.Table.from_batches(pending), kind, schema, Path(folder))


def materialise(frame: DataFrame, folder: Path) -> DataFrame:
    """Writes a narrow frame and reads it back, which cuts its lineage: a retry then repeats this one step only."""
    frame.write.mode("overwrite").parquet(str(folder))
    return frame.sparkSession.read.schema(frame.schema).parquet(str(folder))
