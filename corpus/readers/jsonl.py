"""JSON lines: one object a line, plain, gzip or zstd. Offsets are bytes of the decompressed stream.

orjson and not the standard library: it is several times faster and refuses what UTF-8 cannot hold (invalid
bytes, lone surrogate escapes), so that no later stage meets it. Its one loss, integers beyond 64 bits, is
repaired for ids.

Cost: orjson's speed; memory is one line.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator

import orjson

from corpus.inputs import InputConfig, InputFile
from corpus.readers.columns import dig, to_record
from corpus.readers.limits import Limits
from corpus.records import Bad, Reason, Record
from corpus.streams import Line, Raw, read_lines


def read_jsonl(raw: Raw, file: InputFile, config: InputConfig, limits: Limits) -> Iterator[Record | Bad]:
    """Yield a Record or a Bad for each line that is not blank; a line longer than `max_record_bytes` is a Bad."""
    for line in read_lines(raw, file.compression, limits.max_record_bytes):
        if isinstance(line, Bad):
            yield line
        elif line.data is None:
            yield Bad(line.offset, line.length, "oversized", f"a line of more than {limits.max_record_bytes} bytes")
        elif data := _content(line).strip():
            yield _parse(data, line, config)


def _content(line: Line) -> bytes:
    data = line.data or b""
    return data.removeprefix(codecs.BOM_UTF8) if line.offset == 0 else data


def _parse(data: bytes, line: Line, config: InputConfig) -> Record | Bad:
    try:
        row = orjson.loads(data)
    except orjson.JSONDecodeError:
        return Bad(line.offset, line.length, *_what_is_wrong(data))
    if not isinstance(row, dict):
        return Bad(line.offset, line.length, "broken_json", f"a {type(row).__name__}, not an object")
    identifier = config.fields.id
    if identifier is not None and isinstance(dig(row, identifier), float):
        row[identifier] = _digits(data, identifier)
    return to_record(row, config, line.offset, line.length)


def _digits(data: bytes, identifier: str) -> object:
    """Return a number as it is written: orjson rounds integers beyond 64 bits, and rounded ids collide."""
    try:
        return dig(json.loads(data, parse_float=str, parse_int=str), identifier)
    except RecursionError:  # orjson allows deeper nesting
        return None


def _what_is_wrong(data: bytes) -> tuple[Reason, str]:
    """Tell broken bytes from broken syntax, on the slow path only."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return "invalid_utf8", f"byte {error.start} of the line"
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError as error:
        return "broken_json", error.msg.split(":")[0]
    return "broken_json", ""
