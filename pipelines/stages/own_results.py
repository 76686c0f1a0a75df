"""What a stage of one's own hands back is looked at before it counts; where it fails, one sentence names the document.

Our kernels trust offsets and rows, so an edit that lies outside its text, or within a character, must not reach them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpus.own_code import failure
from corpus.run_folder import DocumentShard
from corpus.schemas import DROPS, EDITS
from pipelines.stages.base import Stage, Verdict
from pipelines.stages.own import own_columns
from pipelines.stages.shard_task import Int32, Int64
from tamis.errors import TamisError


@contextmanager
def blamed(stage: Stage, doc_ids: Int64) -> Iterator[None]:
    """Turns an error in the block into a sentence that names the stage, the documents and the line.

    What another try may mend, storage and memory, goes through as it is.
    """
    try:
        yield
    except (TamisError, MemoryError, OSError):
        raise
    except Exception as error:
        first, last = doc_ids[[0, -1]].tolist() if len(doc_ids) else (None, None)
        where = f"document {first}" if first == last else f"the documents {first} to {last}"
        raise TamisError(f"{stage.name} failed on {where}: {failure(error)}") from error


def checked_evidence(stage: Stage, table: object, rows: Int32) -> pa.Table:
    """The evidence of a stage of one's own, `row` being int32 and ascending.

    Raises:
        TamisError: it is no table, has no such column, or is about other rows than those of the batch.
    """
    if not isinstance(table, pa.Table) or "row" not in table.column_names:
        raise TamisError(
            f"{stage.name}: scan returned {_kind(table)}; expected `batch.table(…)`, which has a column `row`"
        )
    return _with_rows(stage, "scan", table, rows)


def checked_verdict(stage: Stage, verdict: object, rows: Int32, shard: DocumentShard) -> Verdict:
    """The verdict of a stage of one's own about some rows of a shard, its tables being of the schemas that count.

    Raises:
        TamisError: it is no verdict, or says what cannot be done.
    """
    if not isinstance(verdict, Verdict):
        raise TamisError(f"{stage.name}: decide returned {_kind(verdict)}; expected a `tamis.Verdict`")
    drops = _with_rows(stage, "drops", _cast(stage, "drops", verdict.drops, DROPS), rows)
    edits = _with_rows(stage, "edits", _cast(stage, "edits", verdict.edits, EDITS), rows)
    _check_once(stage, "drops", drops)
    _check_spans(stage, edits, shard)
    columns = own_columns(type(stage))
    if verdict.columns is None or not columns:
        return replace(verdict, drops=drops, edits=edits, columns=None)
    schema = pa.schema([pa.field("row", pa.int32()), *(field.remove_metadata() for field in columns)])
    missing = [name for name in schema.names if name not in verdict.columns.column_names]
    if missing:
        raise TamisError(f"{stage.name}: columns: found no {missing[0]!r}; expected every column that it provides")
    told = _cast(stage, "columns", verdict.columns.select(schema.names), schema)
    told = _with_rows(stage, "columns", told, rows)
    _check_once(stage, "columns", told)
    return Verdict(drops, edits, told)


def _check_once(stage: Stage, what: str, table: pa.Table) -> None:
    if len(np.unique(table.column("row").to_numpy())) < table.num_rows:
        raise TamisError(f"{stage.name}: {what}: found a document twice; expected each once")


def _kind(value: object) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


def _cast(stage: Stage, what: str, table: pa.Table, schema: pa.Schema) -> pa.Table:
    try:
        return table.select(schema.names).cast(schema)
    except (pa.ArrowInvalid, KeyError, ValueError) as error:
        raise TamisError(f"{stage.name}: {what}: {' '.join(str(error).split())[:300]}") from None


def _with_rows(stage: Stage, what: str, table: pa.Table, rows: Int32) -> pa.Table:
    """The table sorted by row; every row must be among those that the stage was asked about."""
    column = table.column("row")
    if column.null_count or not pa.types.is_integer(column.type):
        raise TamisError(f"{stage.name}: {what}: found `row` of type {column.type}; expected int32 without nulls")
    found = column.to_numpy()
    if not np.isin(found, rows).all():
        row = found[~np.isin(found, rows)][0]
        raise TamisError(f"{stage.name}: {what}: found row {row}; expected rows that it was asked about")
    table = table.set_column(table.column_names.index("row"), "row", pa.array(found.astype(np.int32)))
    return table if (found[1:] >= found[:-1]).all() else table.take(pa.array(np.argsort(found, kind="stable")))


def _check_spans(stage: Stage, edits: pa.Table, shard: DocumentShard) -> None:
    """Edits lie in their texts, end behind their beginning, and cut no character in two."""
    if not edits.num_rows:
        return
    text = shard.text()
    row, start, end = (edits.column(name).to_numpy().astype(np.int64) for name in ("row", "start", "end"))
    outside = (start < 0) | (end <= start) | (end > text.lengths[row])
    if not outside.any():
        base = text.offsets[row]
        outside = _inside_character(text.data, base + start, text.offsets[row + 1])
        outside |= _inside_character(text.data, base + end, text.offsets[row + 1])
    if outside.any():
        at = int(np.flatnonzero(outside)[0])
        raise TamisError(
            f"{stage.name}: edits: found bytes {start[at]} to {end[at]} of document {shard.first_id + row[at]}, which "
            f"has {text.lengths[row[at]]}; expected a span of whole characters in it"
        )


def _inside_character(data: npt.NDArray[np.uint8], at: Int64, end: Int64) -> npt.NDArray[np.bool_]:
    """Whether a place is before a continuation byte of UTF-8."""
    inside = at < end
    found = np.zeros(len(at), np.bool_)
    found[inside] = (data[at[inside]] & 0xC0) == 0x80
    return found
