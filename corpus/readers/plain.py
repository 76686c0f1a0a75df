"""Plain text: a document is a file, a line, or a paragraph. Offsets are bytes of the decompressed stream.

Lines are cut before they are decoded: offsets stay bytes, and one undecodable byte costs one unit instead of
the file.

Cost: linear; memory is one unit.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from corpus.inputs import InputConfig, InputFile
from corpus.readers.columns import with_text
from corpus.readers.limits import Limits
from corpus.records import Bad, Reason, Record
from corpus.streams import Compression, Decompressed, Line, Raw, read_lines


def read_text(raw: Raw, file: InputFile, config: InputConfig, limits: Limits) -> Iterator[Record | Bad]:
    """Yield a Record or a Bad for each unit of text; one larger than `max_record_bytes` is a Bad."""
    for unit in _UNITS[config.text_unit](raw, file.compression, limits.max_record_bytes):
        if isinstance(unit, Bad):
            yield unit
        elif unit.data is None:
            yield Bad(unit.offset, unit.length, "oversized", f"more than {limits.max_record_bytes} bytes")
        else:
            yield _decode(unit.data, unit, config)


def _decode(data: bytes, unit: Line, config: InputConfig) -> Record | Bad:
    encoding = codecs.lookup(config.encoding or "utf-8").name
    if encoding == "utf-8" and unit.offset == 0:
        data = data.removeprefix(codecs.BOM_UTF8)
    try:
        text = data.decode(encoding)
        text.encode()  # some encodings can spell lone surrogates, which UTF-8 cannot hold
    except UnicodeDecodeError as error:
        reason: Reason = "invalid_utf8" if encoding == "utf-8" else "invalid_encoding"
        return Bad(unit.offset, unit.length, reason, f"byte {error.start} of the text is not {encoding}")
    except UnicodeEncodeError:
        return Bad(unit.offset, unit.length, "invalid_encoding", "a lone surrogate")
    return with_text(text, {}, config, unit.offset, unit.length)


def _whole_file(raw: Raw, compression: Compression, max_bytes: int) -> Iterator[Line | Bad]:
    stream = Decompressed(raw, compression)
    held: list[bytes] = []
    for piece in stream:
        if stream.size <= max_bytes:
            held.append(piece)
        else:
            held.clear()
    if (bad := stream.closing(0)) is not None:
        yield bad
    elif stream.size:
        yield Line(0, stream.size, b"".join(held) if stream.size <= max_bytes else None, ended=False)


def _lines(raw: Raw, compression: Compression, max_bytes: int) -> Iterator[Line | Bad]:
    for line in read_lines(raw, compression, max_bytes):
        if isinstance(line, Bad) or not _is_blank(line):
            yield line if isinstance(line, Bad) or line.data is None else _without_return(line)


def _paragraphs(raw: Raw, compression: Compression, max_bytes: int) -> Iterator[Line | Bad]:
    """Join lines up to a blank one; where the file is damaged, the paragraph it was in is the Bad."""
    held: list[Line] = []
    held_bytes = 0
    for line in read_lines(raw, compression, max_bytes):
        if isinstance(line, Bad):
            start = held[0].offset if held else line.offset
            yield Bad(start, line.offset + line.length - start, line.reason, line.detail)
            return
        if not _is_blank(line):
            held_bytes += line.length + 1
            held.append(line)
            if held_bytes > max_bytes:
                del held[1:-1]  # only the first and the last are needed, for the offsets
        elif held:
            yield _joined(held, max_bytes)
            held, held_bytes = [], 0
    if held:
        yield _joined(held, max_bytes)


def _joined(lines: list[Line], max_bytes: int) -> Line:
    start = lines[0].offset
    length = lines[-1].offset + lines[-1].length - start
    if length > max_bytes:
        return Line(start, length, None, ended=True)
    data = b"\n".join(line.data or b"" for line in lines)
    return _without_return(Line(start, length, data, ended=True))


def _is_blank(line: Line) -> bool:
    return line.data is not None and not line.data.strip()


def _without_return(line: Line) -> Line:
    return Line(line.offset, line.length, (line.data or b"").removesuffix(b"\r"), line.ended)


_UNITS = {"file": _whole_file, "line": _lines, "paragraph": _paragraphs}
