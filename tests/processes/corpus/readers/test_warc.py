"""Web archives, taken apart by a child process: what is good arrives, what is bad is named with its place."""

from __future__ import annotations

import errno
import gzip
import io
import itertools
import zlib
from collections import Counter
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from corpus.inputs import InputConfig, InputFile, resolve_inputs
from corpus.readers import READERS, read
from corpus.readers.limits import Limits
from corpus.records import Bad, Record
from corpus.streams import Raw
from tamis.errors import ReadError
from tests.conftest import REPOSITORY
from tests.support.examples import examples
from tests.unit.corpus.readers.test_readers import items, outcome

SHARED = REPOSITORY.parent / "shared" / "data" / "warc"
CHECKED_ZSTD = zstandard.ZstdCompressor(write_checksum=True)
shared_warcs = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared web archives are not beside the repository")


def warc(body: bytes, kind: str = "response", *, number: int = 1, more: str = "") -> bytes:
    content_type = "application/http; msgtype=response" if kind == "response" else "text/plain"
    head = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Record-ID: <urn:uuid:{number}>\r\n"
        f"WARC-Target-URI: http://site/{number}\r\nContent-Type: {content_type}\r\n{more}"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body + b"\r\n\r\n"


def http(
    body: bytes, content_type: str | None = "text/html; charset=utf-8", status: str = "200 OK", more: str = ""
) -> bytes:
    kind = f"Content-Type: {content_type}\r\n" if content_type else ""
    return f"HTTP/1.1 {status}\r\n{kind}{more}\r\n".encode() + body


def page(text: str) -> bytes:
    return f"<html><body><main><p>{text}</p></main></body></html>".encode()


def archive(count: int = 4) -> list[bytes]:
    """Records whose bodies do not compress to nothing, so that a member has a middle."""
    noise = [" ".join(str(number * n * n % 9973) for n in range(60)) for number in range(1, count + 1)]
    return [warc(http(page(f"page {number} {noise[number - 1]}")), number=number) for number in range(1, count + 1)]


def numbers(found: list[Record | Bad]) -> list[int | str]:
    return [int(item.text.split()[1]) if isinstance(item, Record) else item.reason for item in found]


def write(path: Path, records: list[bytes]) -> list[int]:
    """Write one member a record, as the name says; return where each starts, and the end."""
    pack = {".warc": bytes, ".gz": lambda data: gzip.compress(data, mtime=0), ".zst": CHECKED_ZSTD.compress}[
        path.suffix
    ]
    members = [pack(record) for record in records]
    path.write_bytes(b"".join(members))
    return [0, *itertools.accumulate(map(len, members))]


@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz", "a.warc.zst"])
def test_warc_places_ids_and_urls(tmp_path, name):
    bounds = write(tmp_path / name, archive())
    found = items(tmp_path / name)
    assert numbers(found) == [1, 2, 3, 4]
    assert [(item.offset, item.offset + item.length) for item in found] == list(itertools.pairwise(bounds))
    assert [(item.source_id, item.url) for item in found][1] == ("urn:uuid:2", "http://site/2")


def test_warc_in_one_member_has_places_of_its_own(tmp_path):
    records = archive()
    (tmp_path / "a.warc.gz").write_bytes(gzip.compress(b"".join(records)))
    found = items(tmp_path / "a.warc.gz")
    bounds = [0, *itertools.accumulate(map(len, records))]
    assert [(item.offset, item.offset + item.length) for item in found] == list(itertools.pairwise(bounds))


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (http(page("é中")), "é中"),
        (http(page("a"), "application/xhtml+xml"), "a"),
        (http(b"plain \xe4\xb8\xad", "text/plain"), "plain 中"),
        (http(page("sniffed"), None), "sniffed"),
        (http(page("a"), "image/png"), "not_a_page"),
        (http(b"\x89PNG", None), "not_a_page"),
        (http(page("a"), status="404 Not Found"), "not_a_page"),
        (http(page("a"), status="301 Moved"), "not_a_page"),
        (b"not http at all", "not_a_page"),
        (http(b""), "empty_text"),
        (http(page(" ")), "empty_text"),
        (http(page("x" * 3000)), "oversized"),
        (http("<p>中文".encode("gbk"), "text/html; charset=gbk"), "中文"),
        (http("<p>中文".encode("gb18030"), "text/html; charset=gb2312"), "中文"),
        (http("<meta charset=gbk><p>中文网页".encode("gbk"), "text/html"), "中文网页"),
        (http("<meta charset=gbk><p>中文网页".encode("gbk")), "中文网页"),
        (http("<p>naïve".encode(), "text/html; charset=iso-8859-1"), "naïve"),
        (http("<p>naïve".encode("latin-1"), "text/html; charset=iso-8859-1"), "naïve"),
        (http("<p>中文".encode("utf-16"), "text/html; charset=nonsense"), "中文"),
        (http(b"<p>" + "中文网页".encode() * 5 + b"\xe4"), "中文网页" * 5 + "\ufffd"),
        (http(gzip.compress(page("zipped")), more="Content-Encoding: gzip\r\n"), "zipped"),
        (http(zlib.compress(page("deflated")), more="Content-Encoding: deflate\r\n"), "deflated"),
        (http(page("already unzipped"), more="Content-Encoding: gzip\r\n"), "already unzipped"),
        (http(page("already unbrotlied"), more="Content-Encoding: br\r\n"), "already unbrotlied"),
        (http(b"5\r\n<p>ab\r\n3;x=y\r\ncde\r\n0\r\n\r\n", more="Transfer-Encoding: chunked\r\n"), "abcde"),
        (http(page("already whole"), more="Transfer-Encoding: chunked\r\n"), "already whole"),
        (http(gzip.compress(b"<p>" + b"x" * 10**6), more="Content-Encoding: gzip\r\n"), "oversized"),
        (http(b"\x1f\x8b broken", more="Content-Encoding: gzip\r\n"), "extraction_error"),
    ],
)
def test_warc_responses(tmp_path, response, expected):
    write(tmp_path / "a.warc.gz", [warc(response), warc(http(page("next")))])
    assert outcome(items(tmp_path / "a.warc.gz", limit=3000)) == [expected, "next"]


def test_warc_brotli_body(tmp_path):
    brotli = pytest.importorskip("brotli")
    write(tmp_path / "a.warc.gz", [warc(http(brotli.compress(page("squeezed")), more="Content-Encoding: br\r\n"))])
    assert outcome(items(tmp_path / "a.warc.gz")) == ["squeezed"]


def test_warc_other_records_are_skipped_and_counted(tmp_path):
    kinds = ["warcinfo", "request", "request", "metadata", "revisit", "resource"]
    write(tmp_path / "a.warc.gz", [warc(b"text", kind) for kind in kinds] + [warc(http(page("a")))])
    skipped: Counter[str] = Counter()
    assert outcome(items(tmp_path / "a.warc.gz", skipped=skipped)) == ["a"]
    assert skipped == Counter(kinds)


def test_wet_conversions_are_utf8_text(tmp_path):
    write(
        tmp_path / "a.warc.wet.gz",
        [warc("中文\n".encode(), "conversion"), warc(b"\xff", "conversion"), warc(b"", "conversion")],
    )
    assert outcome(items(tmp_path / "a.warc.wet.gz")) == ["中文\n", "invalid_utf8", "empty_text"]


def test_warc_headers_are_its_columns(tmp_path):
    write(tmp_path / "a.warc.gz", [warc(http(page("a")), more="WARC-Date: 2020-01-01T00:00:00Z\r\nX-Lang: zho\r\n")])
    (record,) = items(tmp_path / "a.warc.gz", fields={"lang": "X-Lang"}, keep=["WARC-Date"], constants={"source": "cc"})
    assert (record.lang, record.source, record.extra) == ("zho", "cc", '{"WARC-Date":"2020-01-01T00:00:00Z"}')


def test_main_content_is_a_choice(tmp_path):
    write(tmp_path / "a.warc.gz", [warc(http(b"<nav><a href=x>Menu</a></nav><main><p>Main</p></main>"))])
    assert "Menu" not in outcome(items(tmp_path / "a.warc.gz"))[0]
    assert "Menu" in outcome(items(tmp_path / "a.warc.gz", main_content=False))[0]


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_warc_cut_anywhere_keeps_the_whole_records(tmp_path, suffix):
    path = tmp_path / f"a.warc{suffix}"
    bounds = write(path, archive())
    data = path.read_bytes()
    for cut in range(1, bounds[3], 29):
        path.write_bytes(data[:cut])
        whole = sum(bound <= cut for bound in bounds[1:])
        found = items(path)
        assert numbers(found[:whole]) == list(range(1, whole + 1))
        if cut not in bounds and cut - bounds[whole] > len("WARC/1.0\r\n") and isinstance(found[-1], Bad):
            assert (found[-1].reason, found[-1].offset + found[-1].length) == ("truncated_archive", cut)
        rest = found[whole:]
        assert len([item for item in rest if isinstance(item, Bad)]) <= 1
        if bounds[whole] + 20 < cut < bounds[whole + 1] - 20:
            assert numbers(rest) == ["truncated_archive"] and rest[0].offset == bounds[whole]


DAMAGES = [("", "head"), *itertools.product((".gz", ".zst"), ("head", "middle", "checksum"))]


@pytest.mark.parametrize(("suffix", "where"), DAMAGES)
def test_warc_damaged_record_spares_the_others(tmp_path, suffix, where):
    path = tmp_path / f"a.warc{suffix}"
    records = archive()
    bounds = write(path, records)
    data = bytearray(path.read_bytes())
    start, end = bounds[1], bounds[2]
    at = {"head": start, "middle": (start + end) // 2, "checksum": end - 8}[where]
    data[at : at + 6] = bytes(byte ^ 0x55 for byte in data[at : at + 6])
    path.write_bytes(bytes(data))
    found = items(path)
    assert numbers(found) == [1, "corrupt_archive", 3, 4]
    assert (found[1].offset, found[1].length) == (start, end - start)


@examples(60)
@given(st.sampled_from(["none", "gzip", "zstd"]), st.integers(0, 10**6), st.binary(max_size=60), st.integers(0, 400))
def test_warc_damage_of_any_kind_costs_only_what_it_touches(compression, position, inserted, removed):
    pack = {"none": bytes, "gzip": gzip.compress, "zstd": CHECKED_ZSTD.compress}[compression]
    members = [pack(record) for record in archive(6)]
    stored = b"".join(members)
    position %= len(stored)
    damaged = stored[:position] + inserted + stored[position + removed :]
    ends = list(itertools.accumulate(map(len, members)))
    before = [number for number, end in enumerate(ends, start=1) if end <= position]
    behind = [number for number, end in enumerate(ends, start=2) if end >= position + removed and number <= 6]
    if compression == "none":  # a header that lost its end takes the length it tells from behind that
        behind = behind[1:]
    file = InputFile("web", "a", "a", len(damaged), "warc", compression, 0)
    config = InputConfig(domain="web", paths=("a",))
    found = list(READERS["warc"](Raw(io.BytesIO(damaged)), file, config, Limits(100_000, 10)))
    arrived = [item.source_id for item in found if isinstance(item, Record)]
    assert {f"urn:uuid:{number}" for number in before + behind} <= set(arrived)
    assert len(arrived) == len(set(arrived))
    assert all(first.offset + first.length <= second.offset for first, second in itertools.pairwise(found))


def test_warc_member_that_holds_no_warc_spares_the_others(tmp_path):
    records = archive()
    records[1] = b"a member with something else in it\r\n\r\n"
    bounds = write(tmp_path / "a.warc.gz", records)
    found = items(tmp_path / "a.warc.gz")
    assert numbers(found) == [1, "corrupt_archive", 3, 4]
    assert (found[1].offset, found[1].length) == (bounds[1], bounds[2] - bounds[1])


def test_warc_content_length_that_lies_costs_one_record(tmp_path):
    for name in ("a.warc", "a.warc.gz"):
        records = archive()
        records[1] = records[1].replace(b"Content-Length: ", b"Content-Length: 9")
        bounds = write(tmp_path / name, records)
        found = items(tmp_path / name)
        assert numbers(found) == [1, "corrupt_archive", 3, 4]
        assert (found[1].offset, found[1].length) == (bounds[1], bounds[2] - bounds[1])


def test_warc_one_member_damaged_at_its_end_keeps_the_first_records(tmp_path):
    data = gzip.compress(b"".join(archive()))
    (tmp_path / "a.warc.gz").write_bytes(data[:-60])
    found = items(tmp_path / "a.warc.gz")
    assert numbers(found) == [1, 2, 3, "truncated_archive"]


def test_warc_oversized_record_spares_its_neighbours(tmp_path):
    for name in ("a.warc", "a.warc.gz"):
        big = warc(http(page("x" * 5000)), number=2)
        bounds = write(tmp_path / name, [archive()[0], big, archive()[2]])
        found = items(tmp_path / name, limit=2000)
        assert numbers(found) == [1, "oversized", 3]
        assert (found[1].offset, found[1].length) == (bounds[1], bounds[2] - bounds[1])


def test_warc_page_that_hangs_the_extractor_costs_that_page(tmp_path, monkeypatch):
    def hang(text: str, *, main_content: bool) -> str:
        while "page 2" in text:
            pass
        return text

    monkeypatch.setattr("corpus.readers.warc.page_text", hang)
    bounds = write(tmp_path / "a.warc.gz", archive(3))
    config = InputConfig(domain="web", paths=("a.warc.gz",))
    (file,) = resolve_inputs([config], base_dir=tmp_path)
    first, bad, last = read(file, config, max_record_bytes=10_000, extraction_timeout_seconds=0.3)
    assert "page 1" in first.text and "page 3" in last.text
    assert (bad.offset, bad.length, bad.reason) == (bounds[1], bounds[2] - bounds[1], "extraction_timeout")


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_storage_that_fails_inside_an_archive_raises(tmp_path, monkeypatch, suffix):
    class Fading(io.BytesIO):
        def read(self, *_):
            if self.tell() > 300:
                raise OSError(errno.EIO, "the disk is gone")
            return super().read(100)

    path = tmp_path / f"a.warc{suffix}"
    write(path, archive())
    data = path.read_bytes()
    monkeypatch.setattr("corpus.readers.open_input", lambda _: Fading(data))
    with pytest.raises(ReadError, match="the disk is gone"):
        items(path)


@shared_warcs
@pytest.mark.parametrize(
    ("name", "records"),
    [
        ("CC-MAIN-20150226074105-00336-sample.warc.gz", 11),
        ("IAH-20080430204825-00000-blackbook.warc.gz", 128),
        ("cc-2008-small-sample-1213893279526_0.warc.gz", 116),
        ("dolma-sample-0000.warc.gz", 22),
        ("dolma-sample-0001.warc.gz", 15),
        ("iana.warc.gz", 16),
        ("whirlwind.warc.gz", 1),
        ("whirlwind.warc.wet.gz", 1),
    ],
)
def test_real_archives(name, records):
    from fastwarc.warc import ArchiveIterator

    skipped: Counter[str] = Counter()
    found = items(SHARED / name, limit=10 << 20, skipped=skipped)
    raw = list(ArchiveIterator(str(SHARED / name), parse_http=False))
    assert len(found) + skipped.total() == len(raw)
    wanted = [record.stream_pos for record in raw if str(record.record_type) in ("response", "conversion")]
    assert [item.offset for item in found] == wanted
    assert sum(isinstance(item, Record) for item in found) == records
    assert {item.reason for item in found if isinstance(item, Bad)} <= {"not_a_page", "empty_text"}
    assert "\ufffd" not in "".join(item.text for item in found if isinstance(item, Record))[:100]


@shared_warcs
def test_a_real_archive_cut_in_half_gives_its_first_half(tmp_path):
    data = (SHARED / "dolma-sample-0000.warc.gz").read_bytes()
    whole = items(SHARED / "dolma-sample-0000.warc.gz", limit=10 << 20)
    (tmp_path / "a.warc.gz").write_bytes(data[: len(data) // 2])
    *found, bad = items(tmp_path / "a.warc.gz", limit=10 << 20)
    assert bad.reason == "truncated_archive"
    assert found == [item for item in whole if item.offset + item.length <= len(data) // 2]
