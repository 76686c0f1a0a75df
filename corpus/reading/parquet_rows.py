"""Single rows of Parquet files.

A stored shard may hold one row group of 128 MB of text. It is decoded in batches and dropped again, so that looking
at one document costs time up to its row and hardly any memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_BATCH_ROWS = 2048


def take_rows(path: Path, rows: Sequence[int], columns: Sequence[str]) -> list[dict[str, Any]]:
    """Some rows of a Parquet file, ascending; only the row groups that hold them are decoded, batch by batch."""
    file = pq.ParquetFile(path)
    wanted, first = list(rows), 0
    found: list[dict[str, Any]] = []
    for group in range(file.num_row_groups):
        last = first + file.metadata.row_group(group).num_rows
        here = [r - first for r in wanted if first <= r < last]
        at = 0
        for batch in file.iter_batches(_BATCH_ROWS, [group], list(columns)) if here else ():
            inside = [r - at for r in here if at <= r < at + batch.num_rows]
            found += batch.take(pa.array(inside, pa.int64())).to_pylist() if inside else []
            at += batch.num_rows
            if at > here[-1]:
                break
        first = last
    return found


def may_hold(file: pq.ParquetFile, doc_id: int) -> bool:
    """Whether the column statistics leave room for an id."""
    at = file.schema_arrow.get_field_index("doc_id")
    for group in range(file.num_row_groups):
        known = file.metadata.row_group(group).column(at).statistics
        if known is None or not known.has_min_max or known.min <= doc_id <= known.max:
            return True
    return False
