"""Readers: a file of any supported format becomes a run of Records and Bads, in file order.

A reader never raises for bad content, and never hides it: each raw record comes out once, as a Record or as a
Bad. Only failing storage raises, so that the task is tried again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing

from corpus.inputs import Format, InputConfig, InputFile, open_input
from corpus.readers.jsonl import read_jsonl
from corpus.readers.limits import Limits
from corpus.readers.parquet import read_parquet
from corpus.readers.plain import read_text
from corpus.readers.warc import read_warc
from corpus.records import Bad, Record
from corpus.streams import Raw

READERS: dict[Format, Callable[[Raw, InputFile, InputConfig, Limits], Iterator[Record | Bad]]] = {
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
    """
    limits = Limits(max_record_bytes, extraction_timeout_seconds, Counter() if skipped is None else skipped)
    with closing(open_input(input_file.uri)) as opened:
        yield from READERS[input_file.format](Raw(opened), input_file, config, limits)
