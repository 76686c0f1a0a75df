"""Readers: what is good arrives, what is bad is named with its place, and neighbours never suffer."""

from __future__ import annotations

import errno
import gzip
import io
import itertools
import json
import zlib
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.inputs import InputConfig, InputFile, resolve_inputs
from corpus.readers import READERS, read
from corpus.readers.limits import Limits
from corpus.records import REASONS, Bad, Reason, Record
from corpus.streams import Raw
from tamis.errors import ReadError
from tests.conftest import REPOSITORY

SHARED = REPOSITORY.parent / "shared" / "data" / "warc"
CHECKED_ZSTD = zstandard.ZstdCompressor(write_checksum=True)
shared_warcs = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared web archives are not beside the repository")


def items(
    path: Path, *, limit: int = 100_000, skipped: Counter[str] | None = None, **more: object
) -> list[Record | Bad]:
    config = InputConfig.model_validate({"domain": "web", "paths": [path.name], **more})
    (file,) = resolve_inputs([config], base_dir=path.parent)
    return list(read(file, config, max_record_bytes=limit, extraction_timeout_seconds=10, skipped=skipped))


def outcome(found: list[Record | Bad]) -> list[str]:
    """Texts of the records, reasons of the rest."""
    return [item.text if isinstance(item, Record) else item.reason for item in found]


def test_reasons_are_documented():
    assert set(REASONS) == set(get_args(Reason))
    assert set(READERS) == {"jsonl", "parquet", "text", "warc", "wet"}


@pytest.mark.parametrize(
    "name",
    ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.parquet", "a.warc", "a.warc.gz", "a.wet.gz", "a.txt", "a.txt.zst"],
)
def test_an_empty_file_yields_nothing(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    assert items(tmp_path / name) == []


@pytest.mark.parametrize(
    "name", ["a.jsonl.gz", "a.jsonl.zst", "a.parquet", "a.warc", "a.warc.gz", "a.warc.zst", "a.txt.gz"]
)
def test_an_unreadable_file_is_one_bad_over_all_of_it(tmp_path, name):
    (tmp_path / name).write_bytes(b"nothing that any reader knows " * 10)
    (bad,) = items(tmp_path / name)
    assert (bad.offset, bad.length, bad.reason) == (0, 300, "corrupt_archive")
    assert str(tmp_path) not in bad.detail


# JSON lines


def jsonl(path: Path, *lines: bytes | dict[str, object], end: bytes = b"\n") -> list[bytes]:
    raw = [line if isinstance(line, bytes) else json.dumps(line, ensure_ascii=False).encode() for line in lines]
    path.write_bytes(b"\n".join(raw) + end)
    return raw


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"text": "' + b"x" * 200 + b'"}', "oversized"),
        (b'{"text": "\xff\xfe"}', "invalid_utf8"),
        (b'{"text": "caf\xe9"}', "invalid_utf8"),
        (b'{"text": "\\ud800"}', "broken_json"),
        (b'{"text": "a"', "broken_json"),
        (b'{"text": NaN}', "broken_json"),
        (b'{"text": "a"} {"text": "b"}', "broken_json"),
        (b"[" * 90, "broken_json"),
        (b'["text"]', "broken_json"),
        (b'"text"', "broken_json"),
        (b"null", "broken_json"),
        (b'{"body": "a"}', "no_text"),
        (b'{"text": null}', "no_text"),
        (b'{"text": ["a"]}', "no_text"),
        (b'{"text": ""}', "empty_text"),
        (b'{"text": " \\n\\t\\u3000"}', "empty_text"),
    ],
)
def test_jsonl_bad_line_is_named_and_spares_its_neighbours(tmp_path, line, reason):
    before, bad, _ = jsonl(tmp_path / "a.jsonl", {"text": "one"}, line, {"text": "two"})
    found = items(tmp_path / "a.jsonl", limit=100)
    assert outcome(found) == ["one", reason, "two"]
    assert (found[1].offset, found[1].length) == (len(before) + 1, len(bad))


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_jsonl_columns_offsets_and_lengths(tmp_path, suffix):
    path = tmp_path / f"a.jsonl{suffix}"
    row = {"text": "héllo 中", "id": "x1", "url": "http://a/", "source": "s", "lang": "zh", "licence": "mit", "n": 1}
    lines = jsonl(path, row, b"", b"  ", {"text": "b", "id": 7}, end=b"")
    data = path.read_bytes()
    path.write_bytes({"": data, ".gz": gzip.compress(data), ".zst": zstandard.compress(data)}[suffix])
    first, second = items(path)
    assert first == Record(0, len(lines[0]), "héllo 中", "x1", "http://a/", "s", "zh", "mit", None)
    assert (second.source_id, second.url, second.offset, second.length) == ("7", None, len(lines[0]) + 5, len(lines[3]))


def test_jsonl_tolerates_a_byte_order_mark_and_windows_line_ends(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"text": "a"}\r\n\r\n{"text": "b"}\r\n')
    assert outcome(items(tmp_path / "a.jsonl")) == ["a", "b"]


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("12", "12"),
        ("-3", "-3"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("1.50", "1.50"),
        ("true", None),
        ("null", None),
        ('""', None),
        ("9" * 300, "9" * 300),
    ],
)
def test_jsonl_ids_that_are_numbers_become_strings(tmp_path, number, expected):
    jsonl(tmp_path / "a.jsonl", b'{"text": "a", "id": %s}' % number.encode())
    assert items(tmp_path / "a.jsonl")[0].source_id == expected


def test_fields_may_be_nested_renamed_or_absent_and_constants_win(tmp_path):
    jsonl(tmp_path / "a.jsonl", {"doc": {"body": "a", "meta": {"key": 5}}, "id": "no", "lang": "en", "a.b": "dotted"})
    (record,) = items(
        tmp_path / "a.jsonl",
        fields={"text": "doc.body", "id": "doc.meta.key", "url": None, "source": "a.b"},
        constants={"lang": "zh", "licence": "cc0"},
    )
    assert (record.text, record.source_id, record.url) == ("a", "5", None)
    assert (record.source, record.lang, record.licence) == ("dotted", "zh", "cc0")


def test_kept_columns_are_a_json_object_with_sorted_keys(tmp_path):
    jsonl(tmp_path / "a.jsonl", {"z": {"b": 1, "a": [None, 1.5]}, "text": "t", "id": "i", "a": "中", "none": None})
    path = tmp_path / "a.jsonl"
    assert items(path)[0].extra is None
    assert items(path, keep=["z", "missing", "none"])[0].extra == '{"z":{"a":[null,1.5],"b":1}}'
    assert items(path, keep=["z.b"])[0].extra == '{"z.b":1}'
    assert items(path, keep="all")[0].extra == '{"a":"中","none":null,"z":{"a":[null,1.5],"b":1}}'


def test_jsonl_nesting_deeper_than_can_be_kept_is_bad_and_not_an_error(tmp_path):
    deep = b'{"text": "t", "deep": %s%s}' % (b"[" * 600, b"]" * 600)
    jsonl(tmp_path / "a.jsonl", deep, {"text": "b"})
    assert outcome(items(tmp_path / "a.jsonl", keep="all")) == ["broken_json", "b"]
    assert outcome(items(tmp_path / "a.jsonl")) == ["t", "b"]


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_jsonl_cut_archive_gives_all_before_the_cut(tmp_path, suffix):
    path = tmp_path / f"a.jsonl{suffix}"
    pack = gzip.compress if suffix == ".gz" else zstandard.compress
    members = [pack(b'{"text": "%d"}\n' % number) for number in range(5)]
    path.write_bytes(b"".join(members)[:-5])
    found = items(path)
    assert outcome(found)[:4] == ["0", "1", "2", "3"] and found[-1].reason == "truncated_archive"


# plain text


def test_text_file_line_and_paragraph(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n\r\n  \nthree\nfour")
    assert [(item.offset, item.length, item.text) for item in items(path)] == [
        (0, 28, "one\r\ntwo\r\n\r\n  \nthree\nfour")
    ]
    assert [(item.offset, item.length, item.text) for item in items(path, text_unit="line")] == [
        (0, 7, "one"),
        (8, 4, "two"),
        (18, 5, "three"),
        (24, 4, "four"),
    ]
    assert [(item.offset, item.length, item.text) for item in items(path, text_unit="paragraph")] == [
        (0, 12, "one\r\ntwo"),
        (18, 10, "three\nfour"),
    ]


def test_text_bad_units_spare_their_neighbours(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"good\n\nb\xffd\n\n" + b"long line\n" * 20 + b"\nlast\n")
    assert outcome(items(path, text_unit="paragraph", limit=50)) == ["good", "invalid_utf8", "oversized", "last"]
    bad = items(path, text_unit="paragraph", limit=50)[2]
    assert (bad.offset, bad.length) == (11, 199)
    assert outcome(items(path, text_unit="line", limit=50))[:2] == ["good", "invalid_utf8"]
    assert outcome(items(path, limit=50)) == ["oversized"]
    assert items(path, limit=50)[0].length == len(path.read_bytes())
    assert outcome(items(path)) == ["invalid_utf8"]
    path.write_bytes(b"   \n")
    assert outcome(items(path)) == ["empty_text"]
    assert items(path, text_unit="line") == []


def test_text_encodings_are_strict(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("中文".encode("gb18030") + b"\n\xff\xff\n")
    assert outcome(items(path, encoding="gb18030", text_unit="line")) == ["中文", "invalid_encoding"]
    path.write_bytes("中文".encode("utf-16"))
    assert outcome(items(path, encoding="utf-16")) == ["中文"]
    path.write_bytes(b"\\ud800")
    assert outcome(items(path, encoding="unicode_escape")) == ["invalid_encoding"]


def test_text_cut_in_a_paragraph_loses_that_paragraph_only(tmp_path):
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(b"one\n\ntwo\nthree")[:-1])
    found = items(path, text_unit="paragraph")
    assert outcome(found) == ["one", "truncated_archive"]
    assert (found[1].offset, found[1].length) == (5, 9)
    assert outcome(items(path)) == ["truncated_archive"]


# Parquet


def parquet(path: Path, rows: int = 6, group: int = 2, **columns: pa.Array) -> None:
    texts = pa.array([f"text {row}" for row in range(rows)])
    pq.write_table(
        pa.table({"text": texts, **columns}), path, row_group_size=group, compression="snappy", use_dictionary=False
    )


def invalid_strings(*values: bytes | None) -> pa.Array:
    return pa.array(values, pa.binary()).view(pa.string())


def test_parquet_offset_is_the_row(tmp_path):
    path = tmp_path / "a.parquet"
    parquet(path, id=pa.array(range(6)), url=pa.array(["http://a/"] * 6), other=pa.array(range(6)))
    found = items(path, keep=["other"])
    assert [(item.offset, item.length, item.text, item.source_id) for item in found] == [
        (row, 1, f"text {row}", str(row)) for row in range(6)
    ]
    assert found[3].extra == '{"other":3}' and found[3].url == "http://a/"


def test_parquet_bad_values_spare_their_neighbours(tmp_path):
    path = tmp_path / "a.parquet"
    texts = invalid_strings(b"a", b"\xff", None, b"", b" ", b"x" * 60, "é".encode() * 26, b"b")
    pq.write_table(pa.table({"text": texts, "url": invalid_strings(*[b"u"] * 7, b"\xff")}), path, row_group_size=3)
    expected = ["a", "invalid_utf8", "no_text", "empty_text", "empty_text", "oversized", "oversized", "invalid_utf8"]
    found = items(path, limit=50)
    assert outcome(found) == expected
    assert [item.offset for item in found] == list(range(8))


def test_parquet_damaged_row_group_is_counted_row_by_row_and_later_ones_arrive(tmp_path):
    path = tmp_path / "a.parquet"
    texts = pa.array([f"text {row} " + "abc" * row for row in range(9)])
    pq.write_table(pa.table({"text": texts}), path, row_group_size=3, compression="zstd", use_dictionary=False)
    column = pq.ParquetFile(path).metadata.row_group(1).column(0)
    data = bytearray(path.read_bytes())
    start, size = column.data_page_offset, column.total_compressed_size
    data[start + size // 2 : start + size] = b"\xff" * (size - size // 2)
    path.write_bytes(bytes(data))
    found = items(path)
    assert [item.offset for item in found] == list(range(9))
    assert [isinstance(item, Record) for item in found] == [True] * 3 + [False] * 3 + [True] * 3
    assert {item.reason for item in found[3:6]} == {"corrupt_archive"}


def test_parquet_without_a_usable_text_column_is_one_bad_over_its_rows(tmp_path):
    path = tmp_path / "a.parquet"
    parquet(path, number=pa.array(range(6)))
    assert items(path, fields={"text": "body"}) == [Bad(0, 6, "no_text", "there is no column 'body'")]
    assert items(path, fields={"text": "number"}) == [Bad(0, 6, "no_text", "the column 'number' holds int64")]


def test_parquet_cut_or_damaged_footer(tmp_path):
    path = tmp_path / "a.parquet"
    parquet(path)
    data = path.read_bytes()
    path.write_bytes(data[:-20])
    assert items(path) == [Bad(0, len(data) - 20, "truncated_archive", "the Parquet footer is missing")]
    path.write_bytes(data[:-30] + b"\xff" * 22 + data[-8:])
    assert [(item.offset, item.length, item.reason) for item in items(path)] == [(0, len(data), "corrupt_archive")]


@pytest.mark.parametrize(
    "texts",
    [
        pa.array([b"a", b"b"], pa.binary()),
        pa.array([b"a", b"b"], pa.large_binary()),
        pa.array(["a", "b"], pa.large_string()),
        pa.array(["a", "b"]).dictionary_encode(),
        pa.array(["a", "b"], pa.string_view()),
    ],
    ids=lambda texts: str(texts.type),
)
def test_parquet_kinds_of_text_columns(tmp_path, texts):
    pq.write_table(pa.table({"text": texts}), tmp_path / "a.parquet")
    assert outcome(items(tmp_path / "a.parquet")) == ["a", "b"]


def test_parquet_nested_fields_and_values_that_json_has_no_type_for(tmp_path):
    path = tmp_path / "a.parquet"
    doc = pa.array([{"body": "a", "lang": "zh", "junk": 1}, None])
    extra = {"price": pa.array([Decimal("1.50"), None]), "raw": pa.array([b"\x00\xff", b""])}
    pq.write_table(pa.table({"doc": doc, **extra}), path)
    first, second = items(path, fields={"text": "doc.body", "lang": "doc.lang"}, keep=["raw", "price"])
    assert (first.text, first.lang, first.extra) == ("a", "zh", '{"price":"1.50","raw":"AP8="}')
    assert second.reason == "no_text"
    assert items(path, fields={"text": "doc.body"}, keep="all")[0].extra == '{"price":"1.50","raw":"AP8="}'


# WARC and WET


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


@settings(max_examples=60, deadline=None)
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


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet", "a.warc", "a.txt"])
def test_failing_storage_raises_and_is_never_a_bad(tmp_path, monkeypatch, name):
    class Broken(io.BytesIO):
        def read(self, *_):
            raise OSError(errno.EIO, "the disk is gone")

    monkeypatch.setattr("corpus.readers.open_input", lambda _: Broken(b"x" * 100))
    (tmp_path / name).write_bytes(b"x" * 100)
    with pytest.raises(ReadError, match="the disk is gone"):
        items(tmp_path / name)


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
