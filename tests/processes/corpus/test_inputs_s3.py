"""Inputs on S3, over HTTP from a server in this process: the same files and records as from a local folder."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from corpus.inputs import InputConfig, InputFile, resolve_inputs
from corpus.readers import read
from corpus.records import Bad, Record
from tamis.errors import ConfigError, ReadError
from tests.support.s3_server import BUCKET, Store, s3_server

GLOBS = ("raw/**/*.jsonl.zst", "raw/*.parquet")
LARGE = "raw/deep/er/large.jsonl.zst"


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """An empty store; its credentials are in the environment, as they are where a client runs."""
    for name, value in {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in (
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "AWS_PROFILE",
        "AWS_SESSION_TOKEN",
        "HTTP_PROXY",
        "http_proxy",
    ):
        monkeypatch.delenv(name, raising=False)
    with s3_server() as served:
        yield served


@pytest.fixture
def folder(tmp_path: Path, store: Store) -> Path:
    """JSON lines and Parquet in a local folder, and the same in the store. One file is larger than a request."""
    rows = [{"id": str(i), "text": f"document {i} 磨坊", "url": f"https://example.org/{i}"} for i in range(300)]
    lines = [json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows]
    compressor = zstandard.ZstdCompressor()
    noise = [json.dumps({"id": f"n{i}", "text": random.Random(i).randbytes(40_000).hex()}).encode() for i in range(130)]
    files = {
        "raw/a.jsonl.zst": compressor.compress(b"".join(lines[:100])),
        "raw/deep/b c+ü%20磨.jsonl.zst": compressor.compress(b"".join(lines[100:150]) + b"broken\n"),
        LARGE: compressor.compress(b"\n".join(noise)),
        "raw/.hidden.jsonl.zst": b"",
        "raw/readme.txt": b"",
    }
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    pq.write_table(pa.Table.from_pylist(rows[200:]), tmp_path / "raw" / "d.parquet", row_group_size=30)
    store.objects |= {str(p.relative_to(tmp_path)): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert len(store.objects[LARGE]) > 5 << 20
    return tmp_path


def found(config: InputConfig, base: Path) -> tuple[list[InputFile], list[Record | Bad]]:
    files = resolve_inputs([config], base_dir=base)
    records = [r for f in files for r in read(f, config, max_record_bytes=1 << 20, extraction_timeout_seconds=10)]
    return files, records


def local(folder: Path) -> tuple[list[InputFile], list[Record | Bad]]:
    return found(InputConfig(domain="web", paths=GLOBS), folder)


def same_files(mine: list[InputFile], theirs: list[InputFile]) -> bool:
    return [replace(f, uri="") for f in mine] == [replace(f, uri="") for f in theirs]


def test_files_and_records_equal_those_of_a_local_folder(folder: Path, store: Store) -> None:
    paths = tuple(f"s3://{BUCKET}/{glob}{store.query}" for glob in GLOBS)
    files, records = found(InputConfig(domain="web", paths=paths), folder)
    expected_files, expected = local(folder)
    assert [f.name for f in files] == [
        "a.jsonl.zst",
        "d.parquet",
        "deep/b c+ü%20磨.jsonl.zst",
        "deep/er/large.jsonl.zst",
    ]
    assert same_files(files, expected_files)
    assert records == expected
    assert len(records) == 100 + 51 + 130 + 100 and sum(isinstance(r, Bad) for r in records) == 1
    large = [r for r in store.requests if r.startswith("GET") and r.endswith("large.jsonl.zst")]
    assert len(large) > 1, "a large file comes in several requests"


def test_the_endpoint_may_stand_in_the_environment(folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{store.port}")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    config = InputConfig(domain="web", paths=tuple(f"s3://{BUCKET}/{glob}" for glob in GLOBS))
    assert found(config, folder)[1] == local(folder)[1]
    assert store.requests


@pytest.mark.parametrize("path", ["raw/*.warc.gz", "nowhere/*", "raw/e.jsonl.zst"])
def test_what_is_not_there_is_one_sentence(folder: Path, store: Store, path: str) -> None:
    config = InputConfig(domain="web", paths=(f"s3://{BUCKET}/{path}{store.query}",))
    with pytest.raises(ConfigError, match="matches no file"):
        resolve_inputs([config], base_dir=folder)


@pytest.mark.parametrize("name", [LARGE, "raw/d.parquet"])
def test_a_store_that_fails_in_the_middle_is_no_damaged_file(folder: Path, store: Store, name: str) -> None:
    """A task that meets it is tried again; a record would be quarantined for good."""
    config = InputConfig(domain="web", paths=(f"s3://{BUCKET}/{name}{store.query}",))
    (file,) = resolve_inputs([config], base_dir=folder)
    store.broken[name] = len(store.objects[name]) // 2
    with pytest.raises(ReadError):
        list(read(file, config, max_record_bytes=1 << 20, extraction_timeout_seconds=10))
