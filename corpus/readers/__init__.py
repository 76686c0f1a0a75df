"""Readers: a file of any supported format becomes a run of Records and Bads, in file order.

A reader never raises for bad content, and never hides it: each raw record comes out once, as a Record or as a
Bad. Only failing storage raises, so that the task is tried again. A reader of one's own has the same arguments; what it
yields may also be a plain mapping, a row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any

from corpus.config import unknown_key
from corpus.inputs import InputConfig, InputFile, open_input
from corpus.own_code import failure, find, installed, is_reference, source_version
from corpus.readers.columns import to_record
from corpus.readers.jsonl import read_jsonl
from corpus.readers.limits import Limits
from corpus.readers.parquet import read_parquet
from corpus.readers.plain import read_text
from corpus.readers.warc import read_warc
from corpus.records import Bad, Record
from corpus.streams import Raw
from tamis.errors import ConfigError, ReadError, TamisError

READERS: dict[str, Callable[[Raw, InputFile, InputConfig, Limits], Iterator[Record | Bad]]] = {
    "jsonl": read_jsonl,
    "parquet": read_parquet,
    "text": read_text,
    "warc": read_warc,
    "wet": read_warc,
}
"""Which function reads which format."""


def read(
    input_file: InputFile,
    config: InputConfig,
    *,
    max_record_bytes: int,
    extraction_timeout_seconds: float,
    skipped: Counter[str] | None = None,
) -> Iterator[Record | Bad]:
    """Yield what a file holds, in file order; an empty file yields nothing.

    Args:
        input_file: the file.
        config: its input's configuration.
        max_record_bytes: a larger raw record is a Bad; it bounds memory.
        extraction_timeout_seconds: longest time to turn one HTML page into text.
        skipped: counts, by type, WARC records that are no documents (requests, metadata, warcinfo).

    Raises:
        ReadError: if storage fails. Bad content never raises.
        TamisError: a reader of one's own fails; one sentence.
    """
    limits = Limits(max_record_bytes, extraction_timeout_seconds, Counter() if skipped is None else skipped)
    with closing(open_input(input_file.uri)) as opened:
        raw = Raw(opened)
        if (ours := READERS.get(input_file.format)) is not None:
            yield from ours(raw, input_file, config, limits)
        else:
            yield from _read_own(input_file.format, raw, input_file, config, limits)


def reader_reference(format: str, where: str) -> str:
    """The `format` of an input, an installed reader being named by its reference.

    Raises:
        ConfigError: there is no such format, or what it names is no function.
    """
    if format in READERS or format == "auto":
        return format
    known = {} if is_reference(format) else installed("tamis.readers")
    reference = known.get(format, format)
    if not is_reference(reference):
        raise ConfigError(unknown_key(f"{where}.{format}", ["auto", *READERS, *known, "module:function"]))
    if not callable(find(reference, where)):
        raise ConfigError(f"{where}: found {reference}, which is no function; expected a reader")
    return reference


def reader_version(reference: str) -> int | str:
    """The `version` that a reader of one's own declares as an attribute, or a digest of its module's source."""
    reader = find(reference, "format")
    return getattr(reader, "version", None) or source_version(reader)


def _read_own(format: str, raw: Raw, file: InputFile, config: InputConfig, limits: Limits) -> Iterator[Record | Bad]:
    """What a reader of one's own yields; the offset of a mapping is its number in the file."""
    reader: Callable[..., Iterator[Any]] = find(format, "format")
    number = -1
    try:
        for number, item in enumerate(reader(raw, file, config, limits)):
            found = to_record(item, config, number, 1) if isinstance(item, Mapping) else item
            if not isinstance(found, Record | Bad):
                raise TypeError(f"yielded a {type(item).__name__}; expected a Record, a Bad or a mapping")
            yield _encodable(found) if isinstance(found, Record) else found
    except (TamisError, ReadError):
        raise
    except Exception as error:
        behind = "at its beginning" if number < 0 else f"behind record {number}"
        raise TamisError(f"the reader {format} failed in {file.name}, {behind}: {failure(error)}") from error


def _encodable(record: Record) -> Record | Bad:
    """The record, or a Bad where a text of it is none that UTF-8 can hold."""
    try:
        for name in ("text", "source_id", "url", "source", "lang", "licence", "extra"):
            (getattr(record, name) or "").encode()
    except UnicodeEncodeError as error:
        return Bad(record.offset, record.length, "invalid_utf8", f"character {error.start} of {name!r}")
    return record
