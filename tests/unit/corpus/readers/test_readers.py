"""Readers: what is good arrives, what is bad is named with its place, and neighbours never suffer."""

from __future__ import annotations

import errno
import gzip
import io
import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from corpus.inputs import InputConfig, resolve_inputs
from corpus.readers import READERS, read
from corpus.records import REASONS, Bad, Reason, Record
from tamis.errors import ReadError


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


# Storage


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet", "a.warc", "a.txt"])
def test_failing_storage_raises_and_is_never_a_bad(tmp_path, monkeypatch, name):
    class Broken(io.BytesIO):
        def read(self, *_):
            raise OSError(errno.EIO, "the disk is gone")

    monkeypatch.setattr("corpus.readers.open_input", lambda _: Broken(b"x" * 100))
    (tmp_path / name).write_bytes(b"x" * 100)
    with pytest.raises(ReadError, match="the disk is gone"):
        items(tmp_path / name)
