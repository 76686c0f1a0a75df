"""Parquet: a record's offset is its row number in the file, its length 1.

Only the columns that are asked for are read, in batches of bounded bytes, as one row group may hold gigabytes of text.
Arrow does not check that strings are UTF-8, so each is decoded here; a batch with a broken one is decoded again value
by value. Damage loses the rest of its row group, whose rows are counted one by one.

Cost: Parquet's decoding plus one Python string a document.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from corpus.inputs import InputConfig, InputFile
from corpus.readers.columns import to_record
from corpus.readers.limits import Limits
from corpus.records import Bad, Reason, Record
from corpus.streams import Raw
from tamis.errors import ReadError

_BATCH_BYTES = 32 << 20
_MAX_BATCH_ROWS = 4096
_DAMAGE = (pa.ArrowException, OSError, ValueError)


class _Undecodable:
    """Stands for a value with a string in it that is not UTF-8."""


def read_parquet(raw: Raw, file: InputFile, config: InputConfig, limits: Limits) -> Iterator[Record | Bad]:
    """Yield a Record or a Bad for each row; a text of more than `max_record_bytes` is a Bad.

    A file without a usable text column is one Bad over all its rows.

    Raises:
        ReadError: if storage fails.
    """
    if raw.size == 0:
        return
    try:
        parquet = pq.ParquetFile(raw.file, page_checksum_verification=True)
        schema = parquet.schema_arrow
    except _DAMAGE as error:
        _raise_if_storage(error)
        yield Bad(0, raw.size, *_why_unreadable(raw))
        return
    if problem := _text_problem(schema, config.fields.text):
        yield Bad(0, parquet.metadata.num_rows, "no_text", problem)
        return
    row = 0
    for group in range(parquet.num_row_groups):
        rows = parquet.metadata.row_group(group).num_rows
        done = 0
        for batch in _batches(parquet, group, _selection(schema, config)):
            yield from _records(batch, row + done, config, limits)
            done += batch.num_rows
        for lost in range(done, rows):
            yield Bad(row + lost, 1, "corrupt_archive", f"row group {group} is damaged")
        row += rows


def _batches(parquet: pq.ParquetFile, group: int, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
    """Yield a row group's batches up to its end or its damage."""
    metadata = parquet.metadata.row_group(group)
    mean_row_bytes = max(1, metadata.total_byte_size // max(1, metadata.num_rows))
    batch_rows = min(_MAX_BATCH_ROWS, max(1, _BATCH_BYTES // mean_row_bytes))
    try:
        yield from parquet.iter_batches(batch_rows, row_groups=[group], columns=columns, use_threads=False)
    except _DAMAGE as error:
        _raise_if_storage(error)


def _records(batch: pa.RecordBatch, first_row: int, config: InputConfig, limits: Limits) -> Iterator[Record | Bad]:
    names = batch.schema.names
    columns = [_values(batch.column(name), as_text=name == config.fields.text) for name in names]
    for row, values in enumerate(zip(*columns, strict=True), start=first_row):
        broken = next((name for name, value in zip(names, values, strict=True) if value is _Undecodable), None)
        if broken is not None:
            yield Bad(row, 1, "invalid_utf8", f"column {broken!r}")
            continue
        record = to_record(dict(zip(names, values, strict=True)), config, row, 1)
        if isinstance(record, Record) and _utf8_bytes_exceed(record.text, limits.max_record_bytes):
            yield Bad(row, 1, "oversized", f"a text of more than {limits.max_record_bytes} bytes")
        else:
            yield record


def _values(column: pa.Array, *, as_text: bool) -> list[object]:
    """Return a column as Python values, with `_Undecodable` where a string is not UTF-8."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if as_text and pa.types.is_binary(column.type):
        column = column.view(pa.string())
    elif as_text and pa.types.is_large_binary(column.type):
        column = column.view(pa.large_string())
    try:
        return column.to_pylist()
    except (ValueError, OverflowError):
        return [_value(scalar) for scalar in column]


def _value(scalar: pa.Scalar) -> object:
    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        return _Undecodable
    except (ValueError, OverflowError):  # a time that Python and JSON cannot say, in a column kept beside the text
        return None


def _utf8_bytes_exceed(text: str, limit: int) -> bool:
    return len(text) > limit or (4 * len(text) > limit and len(text.encode()) > limit)


def _text_problem(schema: pa.Schema, path: str) -> str | None:
    """Say what is wrong with the text column, or None."""
    kind = _type_at(schema, path)
    if kind is None:
        return f"there is no column {path!r}"
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    checks = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    whole = (pa.types.is_binary, pa.types.is_large_binary) if path in schema.names else ()
    return None if any(check(kind) for check in (*checks, *whole)) else f"the column {path!r} holds {kind}"


def _type_at(schema: pa.Schema, path: str) -> pa.DataType | None:
    if path in schema.names:
        return schema.field(path).type
    first, *rest = path.split(".")
    if first not in schema.names:
        return None
    kind = schema.field(first).type
    for part in rest:
        if not pa.types.is_struct(kind) or kind.get_field_index(part) < 0:
            return None
        kind = kind.field(part).type
    return kind


def _selection(schema: pa.Schema, config: InputConfig) -> list[str] | None:
    """Return the columns to read, None for all; of a struct only the asked-for fields."""
    if config.keep == "all":
        return None
    wanted = (*(path for _, path in config.fields), *config.keep)
    return [path for path in dict.fromkeys(wanted) if path is not None and _type_at(schema, path) is not None]


def _why_unreadable(raw: Raw) -> tuple[Reason, str]:
    raw.seek(0)
    starts = raw.read(4) == b"PAR1"
    raw.seek(max(0, raw.size - 4))
    if starts and raw.read(4) != b"PAR1":
        return "truncated_archive", "the Parquet footer is missing"
    return "corrupt_archive", "not a readable Parquet file"


def _raise_if_storage(error: Exception) -> None:
    """Tell a store's failure, worth another try, from damaged content: pyarrow raises OSError for both."""
    if isinstance(error, OSError) and (error.errno is not None or "AWS Error" in str(error)):
        raise ReadError(f"the storage failed while a Parquet file was read: {error}") from error
