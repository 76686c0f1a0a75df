"""Documents and bytes of a shard by the values of some columns: what report and card count of published text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

UNKNOWN = "unknown"


def grouped(
    table: pa.Table, keys: Sequence[pa.ChunkedArray], missing: str = UNKNOWN
) -> Iterator[tuple[tuple[str, ...], int, int]]:
    """The rows of a table by some columns of strings, `missing` for a null: key, documents, and the sum of `bytes`."""
    names = [f"key{i}" for i in range(len(keys))]
    columns = {name: pc.fill_null(key, missing) for name, key in zip(names, keys, strict=True)}
    groups = pa.table({**columns, "bytes": table.column("bytes")}).group_by(names)
    for row in groups.aggregate([("bytes", "count"), ("bytes", "sum")]).to_pylist():
        yield tuple(row[name] for name in names), row["bytes_count"], row["bytes_sum"]


def language_of(table: pa.Table) -> pa.ChunkedArray:
    """The language of each document: as identified, else as its record says."""
    return pc.coalesce(table.column("language"), table.column("lang"))
