"""Lines and their offsets do not depend on compression, on pieces or on where an archive is cut."""

from __future__ import annotations

import gzip
import io
import itertools
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from corpus.records import Bad
from corpus.streams import Compression, Line, Raw, find_member, next_member, read_lines, split_lines
from tamis.errors import ReadError
from tests.support.examples import examples

LINES = st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"n")), max_size=20)
COMPRESSIONS = st.sampled_from(["none", "gzip", "zstd"])


def pack(pieces: list[bytes], compression: Compression) -> bytes:
    """Compress each piece as a member of its own."""
    if compression == "none":
        return b"".join(pieces)
    return b"".join(
        gzip.compress(piece, mtime=0) if compression == "gzip" else zstandard.compress(piece) for piece in pieces
    )


def cut_at(data: bytes, cuts: list[int]) -> list[bytes]:
    bounds = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(bounds)]


def lines_of(stored: bytes, compression: Compression, limit: int = 1000) -> list[Line | Bad]:
    return list(read_lines(Raw(io.BytesIO(stored)), compression, limit))


def oracle(data: bytes, limit: int) -> list[Line]:
    """Split the obvious way."""
    lines, offset = [], 0
    for line in data.split(b"\n"):
        kept = line if len(line) <= limit else None
        lines.append(Line(offset, len(line), kept, ended=offset + len(line) < len(data)))
        offset += len(line) + 1
    return lines if lines[-1].length else lines[:-1]


@given(LINES, st.lists(st.integers(0, 800), max_size=8), st.booleans(), st.integers(0, 50))
def test_split_lines_equals_the_oracle_for_any_pieces(lines, cuts, closed, limit):
    data = b"\n".join(lines) + b"\n" * closed
    assert list(split_lines(cut_at(data, cuts), limit)) == oracle(data, limit)


@given(LINES, st.lists(st.integers(0, 800), max_size=5), COMPRESSIONS, st.integers(0, 50), st.integers(0, 5))
def test_compression_and_members_change_nothing(lines, cuts, compression, limit, padding):
    data = b"\n".join(lines)
    stored = pack(cut_at(data, cuts), compression) + (b"\0" * padding if compression != "none" else b"")
    assert lines_of(stored, compression, limit) == oracle(data, limit)


@given(LINES.filter(any), st.lists(st.integers(0, 800), max_size=3), st.sampled_from(["gzip", "zstd"]), st.data())
def test_a_cut_archive_loses_nothing_before_the_cut(lines, cuts, compression, data):
    members = [pack([piece], compression) for piece in cut_at(b"\n".join(lines) + b"\n", cuts)]
    stored = b"".join(members)
    ends = set(itertools.accumulate(map(len, members)))
    cut = data.draw(st.integers(1, len(stored) - 1).filter(lambda cut: cut not in ends))
    *read, bad = lines_of(stored[:cut], compression)
    before = b"".join(decodable(members, cut, compression))
    complete = before[: before.rfind(b"\n") + 1]
    assert read == oracle(complete, 1000)
    assert isinstance(bad, Bad) and bad.reason == "truncated_archive"
    assert (bad.offset, bad.length) == ((len(complete), len(before) - len(complete)) if before else (0, cut))


def decodable(members: list[bytes], cut: int, compression: Compression):
    """What is decodable before a cut: whole members, and of gzip the beginning of the one that was cut."""
    for member in members:
        if cut >= len(member):
            yield gzip.decompress(member) if compression == "gzip" else zstandard.decompress(member)
        elif compression == "gzip":
            yield zlib.decompressobj(wbits=31).decompress(member[: max(0, cut)])
        else:
            yield zstandard.ZstdDecompressor().decompressobj().decompress(member[: max(0, cut)])
        cut -= len(member)


@examples(50)
@given(st.integers(0, 10**6), st.integers(1, 255), st.sampled_from(["gzip", "zstd"]))
def test_damage_never_raises_and_never_invents_lines(position, flip, compression):
    data = b"".join(b"line %d\n" % number for number in range(300))
    stored = bytearray(pack([data], compression))
    stored[position % len(stored)] ^= flip
    for line in lines_of(bytes(stored), compression):
        assert isinstance(line, Bad | Line)


def test_a_whole_archive_without_final_newline_keeps_its_last_line():
    assert lines_of(gzip.compress(b"a\nb"), "gzip") == [Line(0, 1, b"a", True), Line(2, 1, b"b", False)]


def test_a_gigantic_line_does_not_stay_in_memory_and_spares_its_neighbours():
    import tracemalloc

    size = 200 << 20
    pieces = itertools.chain([b"a\nx"], itertools.repeat(b"x" * 65536, size // 65536), [b"\nb\n"])
    tracemalloc.start()
    lines = list(split_lines(pieces, 1000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert lines == [Line(0, 1, b"a", True), Line(2, size + 1, None, True), Line(size + 4, 1, b"b", True)]
    assert peak < 1 << 20


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_a_bomb_is_read_in_bounded_memory(compression: Compression):
    import tracemalloc

    size = 64 << 20
    stored = pack([b"\0" * size], compression)
    tracemalloc.start()
    lines = lines_of(stored, compression)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert lines == [Line(0, size, None, False)]
    assert peak < (4 << 20 if compression == "gzip" else 160 << 20)


def test_nothing_decodable_is_one_bad_over_the_file():
    assert lines_of(b"no gzip at all", "gzip") == [Bad(0, 14, "corrupt_archive", "a gzip member is damaged")]
    assert lines_of(b"\x28\xb5\x2f\xfd\xff", "zstd")[0].length == 5
    assert lines_of(b"", "gzip") == lines_of(b"", "zstd") == lines_of(b"", "none") == []


def test_rubbish_behind_the_last_member_is_reported():
    lines = lines_of(gzip.compress(b"a\n") + b"rubbish", "gzip")
    assert lines == [Line(0, 1, b"a", True), Bad(2, 0, "corrupt_archive", "a gzip member is damaged")]


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_members_know_where_they_start_and_end(compression: Compression):
    members = [pack([piece], compression) for piece in (b"one", b"two" * 50_000, b"")]
    raw = Raw(io.BytesIO(b"".join(members)))
    spans = []
    while (member := next_member(raw, compression)) is not None:
        member.drain()
        spans.append((member.offset, member.end))
    assert spans == list(itertools.pairwise([0, *itertools.accumulate(map(len, members))]))


def test_find_member_is_not_fooled_by_magic_bytes_inside_data():
    stored = b"junk\x1f\x8b\x08junk" + gzip.compress(b"other") + gzip.compress(b"WARC/1.0 x")
    found = find_member(Raw(io.BytesIO(stored)), "gzip", 0, b"WARC/1.")
    assert found is not None and gzip.decompress(stored[found:]) == b"WARC/1.0 x"
    assert find_member(Raw(io.BytesIO(stored)), "gzip", found + 1, b"WARC/1.") is None


@given(st.integers(0, 300_000))
@examples(10)
def test_find_sees_patterns_across_pieces(position):
    data = b"." * position + b"\nWARC/1.0" + b"." * 10
    assert find_member(Raw(io.BytesIO(data)), "none", 0, b"WARC/1.") == position + 1


def test_failing_storage_is_an_error_and_no_bad():
    class Broken(io.BytesIO):
        def read(self, size=-1):
            raise OSError("connection reset")

    with pytest.raises(ReadError, match="connection reset"):
        list(read_lines(Raw(Broken(b"abc")), "none", 10))
