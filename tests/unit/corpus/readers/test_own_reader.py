"""A reader of one's own: what it may yield, and what becomes of what it should not."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from corpus.inputs import InputConfig, resolve_inputs
from corpus.readers import read
from corpus.records import Bad, Record
from tamis.errors import ReadError, TamisError


@pytest.fixture
def read_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Reads one small file by a function with this body."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def found(body: str, **config: Any) -> list[Record | Bad]:
        (tmp_path / "own_reader.py").write_text(
            f"from corpus.records import *\n\ndef read(raw, file, config, limits):\n    {body}\n"
        )
        (tmp_path / "a.odd.gz").write_bytes(gzip.compress(b"one\ntwo\n"))
        settings = InputConfig(domain="web", paths=("a.odd.gz",), format="own_reader:read", **config)
        (file,) = resolve_inputs([settings], base_dir=tmp_path)
        assert (file.format, file.compression) == ("own_reader:read", "gzip")
        return list(read(file, settings, max_record_bytes=1000, extraction_timeout_seconds=1))

    yield found
    sys.modules.pop("own_reader", None)


def test_mappings_are_rows_by_the_fields_of_the_input(read_with: Any) -> None:
    found = read_with(
        "yield {'body': 'a', 'n': 5, 'kind': 'x'}; yield {'n': 6}", fields={"text": "body", "id": "n"}, keep=("kind",)
    )
    assert isinstance(found[0], Record) and isinstance(found[1], Bad)
    assert (found[0].text, found[0].source_id, found[0].extra, found[0].offset) == ("a", "5", '{"kind":"x"}', 0)
    assert (found[1].reason, found[1].offset, found[1].length) == ("no_text", 1, 1)


def test_records_and_bads_are_handed_on_as_they_are(read_with: Any) -> None:
    bad = Bad(7, 1, "broken_json", "here")
    assert read_with("yield Bad(7, 1, 'broken_json', 'here')") == [bad]
    assert read_with("return iter(())") == []


@pytest.mark.parametrize("field", ["text", "url", "id"])
def test_what_utf8_cannot_hold_is_quarantined(read_with: Any, field: str) -> None:
    (found,) = read_with(f"yield {{'text': 'a', {field!r}: chr(0xd800) + 'b'}}")
    assert isinstance(found, Bad) and found.reason == "invalid_utf8"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise ValueError('no')", "at its beginning: ValueError: no (own_reader.py, line 4)"),
        ("yield {'text': 'a'}; yield {'text': 'b'}; 1 / 0", "behind record 1: ZeroDivisionError: division by zero"),
        ("yield 'text'", "yielded a str; expected a Record, a Bad or a mapping"),
        ("return 5", "TypeError: 'int' object is not iterable"),
    ],
)
def test_a_bug_names_reader_file_and_record(read_with: Any, body: str, said: str) -> None:
    with pytest.raises(TamisError) as caught:
        read_with(body)
    assert said in str(caught.value) and "own_reader:read failed in a.odd.gz" in str(caught.value)


def test_failing_storage_goes_through(read_with: Any) -> None:
    with pytest.raises(ReadError, match="gone"):
        read_with("raise __import__('tamis.errors').errors.ReadError('gone')")
