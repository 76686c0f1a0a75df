"""A reader: files of the Unix program `fortune`, whose sayings are parted by lines of one `%`."""

from __future__ import annotations

from collections.abc import Iterator

import tamis
from corpus.inputs import InputConfig, InputFile
from corpus.readers.columns import to_record
from corpus.readers.limits import Limits
from corpus.streams import Raw, read_lines


def read(raw: Raw, file: InputFile, config: InputConfig, limits: Limits) -> Iterator[tamis.Record | tamis.Bad]:
    """Yields a record for each saying; its offset and length are bytes of the decompressed file."""
    start, saying = 0, b""
    for line in read_lines(raw, file.compression, limits.max_record_bytes):
        if isinstance(line, tamis.Bad):  # the file is cut or damaged here
            yield line
        elif line.data == b"%":
            yield from _record(saying, start, config)
            start, saying = line.offset + line.length + 1, b""
        else:
            saying += (line.data or b"") + b"\n"
    yield from _record(saying, start, config)


def _record(saying: bytes, start: int, config: InputConfig) -> Iterator[tamis.Record | tamis.Bad]:
    if not saying.strip():
        return
    try:
        text = saying.decode().strip()
    except UnicodeDecodeError as error:
        yield tamis.Bad(start, len(saying), "invalid_utf8", f"byte {error.start} of the saying")
        return
    yield to_record({config.fields.text: text, "source": "fortune"}, config, start, len(saying))


read.version = 1  # type: ignore[attr-defined]  # raised when the same file gives other records
