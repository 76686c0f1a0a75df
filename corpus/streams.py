"""Bytes out of compressed files, with offsets, in bounded memory; all that stands before damage is kept.

A file is a row of *members* (gzip members, zstd frames, or one plain member), each read as a stream that ends
either well or with a `Fault`. Why not `gzip.open`, `zstandard.stream_reader` or pyarrow's streams:
they raise at the damage and drop what they had already decoded, and they hide where members start, which a
WARC reader needs both for its offsets and to go on behind a damaged member.

Cost: one pass at the speed of zlib or libzstd. Memory is 4 MiB of stored bytes and one decompressed piece:
256 KiB for gzip; for zstd usually as little beside its window (8 MiB, more if the writer asked for it), and
128 MiB at worst (a bomb), as its decoder takes no output limit.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import zstandard

from corpus.records import Bad, Reason
from tamis.errors import ReadError

Compression = Literal["none", "gzip", "zstd"]

MAGIC: dict[Compression, bytes] = {"gzip": b"\x1f\x8b\x08", "zstd": b"\x28\xb5\x2f\xfd"}

_STORAGE_BYTES = 4 << 20  # one request to an object store
_READ_BYTES = 256 * 1024
_GZIP_IN_BYTES = 64 * 1024
_GZIP_OUT_BYTES = 256 * 1024
_ZSTD_IN_BYTES = 4096  # a zstd block of 4 bytes may stand for 128 KiB: this bounds one step at 128 MiB
_ZSTD_WINDOW_BYTES = 1 << 31  # what `zstd --long=31` writes, as public dumps do


class ByteFile(Protocol):
    """What is asked of an open file; `pyarrow.NativeFile` and `io.BytesIO` both have it."""

    def read(self, nbytes: int, /) -> bytes: ...

    def seek(self, position: int, whence: int = 0, /) -> int: ...

    def tell(self) -> int: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a member could not be read to its end."""

    reason: Reason
    detail: str


class _Damaged(Exception):
    def __init__(self, reason: Reason, detail: str) -> None:
        self.fault = Fault(reason, detail)


class Raw:
    """An open file's stored bytes, read forward, with give-back; pyarrow's Parquet reader seeks in `file` by itself.

    Raises:
        ReadError: where storage fails, here and in every method.
    """

    def __init__(self, file: ByteFile) -> None:
        self.file = file
        self._held = b""
        self._at = 0
        self.position = 0
        try:
            file.seek(0, 2)
            self.size = file.tell()
            file.seek(0)
        except OSError as error:
            raise ReadError(f"the storage failed to open an input: {error}") from error

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, and none only at the end."""
        if self._at == len(self._held):
            try:
                self._held, self._at = self.file.read(_STORAGE_BYTES), 0
            except OSError as error:
                raise ReadError(f"the storage failed at byte {self.position} of an input: {error}") from error
        piece = self._held[self._at : self._at + size]
        self._at += len(piece)
        self.position += len(piece)
        return piece

    def give_back(self, data: bytes) -> None:
        """Put back the bytes that were read last."""
        if len(data) > self._at:
            self._held, self._at = data + self._held[self._at :], len(data)
        self._at -= len(data)
        self.position -= len(data)

    def seek(self, position: int) -> None:
        """Go to a byte of the file."""
        self.file.seek(position)
        self._held, self._at = b"", 0
        self.position = position

    def find(self, pattern: bytes, start: int) -> int | None:
        """Return the position of the first `pattern` at or behind `start`; the read position is lost."""
        self.seek(start)
        window, window_start = b"", start
        while piece := self.read(_READ_BYTES):
            window += piece
            if (found := window.find(pattern)) >= 0:
                return window_start + found
            kept = window[-(len(pattern) - 1) :]
            window_start += len(window) - len(kept)
            window = kept
        return None


class Member:
    """One gzip member, one zstd frame, or one plain file: a stream of decompressed bytes.

    Reading never raises for damage: it ends early and leaves `fault`. fastwarc reads it as a Python file. `offset` and
    `end` are bytes of the stored file, the end known once all was read, and None if it is damaged; `delivered` are
    decompressed bytes.
    """

    def __init__(self, raw: Raw, compression: Compression) -> None:
        self._raw = raw
        self._pieces = _PIECES[compression](raw)
        self._held = b""
        self._at = 0
        self.offset = raw.position
        self.end: int | None = None
        self.fault: Fault | None = None
        self.delivered = 0

    def read(self, size: int = _READ_BYTES) -> bytes:
        """Return up to `size` decompressed bytes, and none only at the end or at a fault."""
        if self._at == len(self._held):
            self._held, self._at = self._next_piece(), 0
        piece = self._held[self._at : self._at + size]
        self._at += len(piece)
        self.delivered += len(piece)
        return piece

    def tell(self) -> int:
        """Return the decompressed bytes handed out."""
        return self.delivered

    def drain(self) -> None:
        """Read to the end, so that `end` or `fault` is known."""
        while self.read():
            pass

    def _next_piece(self) -> bytes:
        piece = b""
        try:
            piece = next(self._pieces, b"")
        except _Damaged as damaged:
            self.fault = damaged.fault
        if not piece and self.fault is None and self.end is None:
            self.end = self._raw.position
        return piece


def next_member(raw: Raw, compression: Compression) -> Member | None:
    """Return the member at the read position, or None at the end of the file; zero padding is skipped."""
    while piece := raw.read(_READ_BYTES):
        rest = piece.lstrip(b"\0") if compression != "none" else piece
        if rest:
            raw.give_back(rest)
            return Member(raw, compression)
    return None


def find_member(raw: Raw, compression: Compression, start: int, opening: bytes) -> int | None:
    """Find the next member behind a damaged one, from byte `start` on; the read position is lost.

    Magic bytes alone also occur inside compressed data, so a candidate has to decompress to `opening`. Where nothing is
    compressed the opening itself is looked for, on a new line.
    """
    if compression == "none":
        found = raw.find(b"\n" + opening, start)
        return None if found is None else found + 1
    candidate = raw.find(MAGIC[compression], start)
    while candidate is not None:
        raw.seek(candidate)
        if Member(raw, compression).read(len(opening)) == opening:
            return candidate
        candidate = raw.find(MAGIC[compression], candidate + 1)
    return None


class Decompressed:
    """All members of a file as one run of pieces, `size` bytes so far; it stops at the first damage, with a `fault`."""

    def __init__(self, raw: Raw, compression: Compression) -> None:
        self._raw = raw
        self._compression = compression
        self.fault: Fault | None = None
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        while self.fault is None and (member := next_member(self._raw, self._compression)) is not None:
            while piece := member.read():
                self.size += len(piece)
                yield piece
            self.fault = member.fault

    def closing(self, offset: int) -> Bad | None:
        """Return the Bad that ends a damaged stream, or None if it is whole.

        `offset` is the decompressed byte at which the last, incomplete record starts; `size` if there is none.
        """
        if self.fault is None:
            return None
        length = self.size - offset if self.size else self._raw.size
        return Bad(offset, length, self.fault.reason, self.fault.detail)


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its first byte in the decompressed stream, its bytes without the newline.

    `data` is None if there are more than the limit; `ended` says whether a newline follows, which only the last may
    lack.
    """

    offset: int
    length: int
    data: bytes | None
    ended: bool


def split_lines(pieces: Iterable[bytes], max_line_bytes: int) -> Iterator[Line]:
    """Split a stream, in pieces cut anywhere, into lines; memory is one piece and `max_line_bytes`.

    Of a longer line only offset and length are kept.
    """
    start, length = 0, 0
    held: list[bytes] = []
    for piece in pieces:
        begin = 0
        while (newline := piece.find(b"\n", begin)) >= 0:
            length += newline - begin
            held.append(piece[begin:newline])
            yield Line(start, length, b"".join(held) if length <= max_line_bytes else None, ended=True)
            start, length, begin = start + length + 1, 0, newline + 1
            held.clear()
        length += len(piece) - begin
        if length <= max_line_bytes:
            held.append(piece[begin:])
        else:
            held.clear()
    if length:
        yield Line(start, length, b"".join(held) if length <= max_line_bytes else None, ended=False)


def read_lines(raw: Raw, compression: Compression, max_line_bytes: int) -> Iterator[Line | Bad]:
    """Yield the lines of a file, and behind the last one a Bad if the file is damaged.

    A last line without newline counts if the file is whole; if the file is damaged, that line is the Bad.
    """
    stream = Decompressed(raw, compression)
    complete = 0
    for line in split_lines(stream, max_line_bytes):
        if not line.ended and stream.fault is not None:
            break
        complete = line.offset + line.length + line.ended
        yield line
    if (bad := stream.closing(complete)) is not None:
        yield bad


def _plain_pieces(raw: Raw) -> Iterator[bytes]:
    while piece := raw.read(_READ_BYTES):
        yield piece


def _gzip_pieces(raw: Raw) -> Iterator[bytes]:
    decoder = zlib.decompressobj(wbits=31)
    try:
        while not decoder.eof:
            stored = decoder.unconsumed_tail or raw.read(_GZIP_IN_BYTES)
            piece = decoder.decompress(stored, _GZIP_OUT_BYTES)
            if piece:
                yield piece
            elif not stored:
                raise _Damaged("truncated_archive", "the file ends inside a gzip member")
    except zlib.error as error:
        raise _Damaged("corrupt_archive", "a gzip member is damaged") from error
    raw.give_back(decoder.unused_data)


def _zstd_pieces(raw: Raw) -> Iterator[bytes]:
    decoder = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES).decompressobj()
    try:
        while not decoder.eof:
            stored = raw.read(_ZSTD_IN_BYTES)
            if not stored:
                raise _Damaged("truncated_archive", "the file ends inside a zstd frame")
            if piece := decoder.decompress(stored):
                yield piece
    except zstandard.ZstdError as error:
        raise _Damaged("corrupt_archive", "a zstd frame is damaged") from error
    raw.give_back(decoder.unused_data)


_PIECES = {"none": _plain_pieces, "gzip": _gzip_pieces, "zstd": _zstd_pieces}
