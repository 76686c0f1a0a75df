"""Duplicates by example: hashes of spans, and the chain from texts to survivors without Spark."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus import ids
from corpus.run_folder import DocumentShard
from dedup.minhash import signatures
from dedup.spans import span_hashes
from pipelines import near_steps
from tests import oracles
from text.arrow import TextColumn
from text.shingle import shingle_sets


def test_spans_are_the_same_when_their_tokens_are() -> None:
    texts = [
        "Read MORE, now!",
        "read more now",
        "read now more",
        "readmore now",
        "read more now now",
        "",
        "?!",
        "ＲＥＡＤ more now",
    ]
    hashes, tokens = span_hashes(TextColumn.from_texts(texts))
    assert tokens.tolist() == [3, 3, 3, 2, 4, 0, 0, 3]
    assert hashes[0] == hashes[1] == hashes[7]
    assert hashes[5] == hashes[6]
    assert len(set(hashes.tolist())) == 5
    assert [len(part) for part in span_hashes(TextColumn.from_texts([]))] == [0, 0]


WORDS = [f"word{i}" for i in range(120)]
TEXTS = [
    " ".join(WORDS),
    " ".join(["Another", *WORDS[1:]]),
    "nothing like it at all, not a word of the others is in here",
    " ".join([*WORDS[:60], "then", "it", "goes", "elsewhere", *map(str, range(60))]),
    "  " + ", ".join(WORDS).upper(),
    "",
    "?!",
]


def test_from_texts_to_survivors() -> None:
    """Bands, buckets, sets, verification and election, each fed with what the one before gave."""
    found = signatures(TextColumn.from_texts(TEXTS), 128)
    halves = found.sketch.view(np.int64)
    rows = pa.RecordBatch.from_pydict({
        "doc_id": np.arange(len(TEXTS)), "sketch_low": halves[:, 0], "sketch_high": halves[:, 1],
        "signature": pa.array([m.tobytes() for m in found.minima], pa.binary()),
    }).filter(pa.array(found.shingles > 0))  # fmt: skip
    banded = pa.Table.from_batches(near_steps.bands(iter([rows]), 21, 6, 128)).sort_by(
        [("key", "ascending"), ("doc_id", "ascending")]
    )
    proposed = near_steps.buckets(iter(banded.to_batches(max_chunksize=7)), 0.51, 0.87)
    edges = sorted({(row["a"], row["b"]) for batch in proposed for row in batch.to_pylist()})
    assert {(0, 4)} <= set(edges) and all(set(e) <= {0, 1, 3, 4} for e in edges)
    ptr, hashes, modulus = shingle_sets(TextColumn.from_texts(TEXTS))
    sets = [hashes[ptr[i] : ptr[i + 1]].tobytes() for i in range(len(TEXTS))]
    joined = pa.RecordBatch.from_pydict({
        "a": [a for a, _ in edges], "b": [b for _, b in edges],
        "modulus_a": [modulus[a] for a, _ in edges], "modulus_b": [modulus[b] for _, b in edges],
        "hashes_a": [sets[a] for a, _ in edges], "hashes_b": [sets[b] for _, b in edges],
    })  # fmt: skip
    verified = [row for batch in near_steps.verify(iter([joined]), 0.75) for row in batch.to_pylist()]
    for row in verified:
        assert row["similarity"] == pytest.approx(oracles.jaccard(TEXTS[row["a"]], TEXTS[row["b"]]), abs=1e-6)
    members = sorted({doc for row in verified for doc in (row["a"], row["b"])})
    assert members == [0, 1, 4]
    component = pa.RecordBatch.from_pydict({
        "component": [0] * 3, "doc_id": members, "bytes": [len(TEXTS[m].encode()) for m in members],
        "quality": pa.array([None] * 3, pa.float32()), "modulus": [int(modulus[m]) for m in members],
        "hashes": [sets[m] for m in members],
    })  # fmt: skip
    elected = {
        row["doc_id"]: row["survivor"]
        for batch in near_steps.elect(iter([component]), 0.75)
        for row in batch.to_pylist()
    }
    assert elected == {0: 4, 1: 4, 4: 4}, "the longest text stays"


def test_shingle_sets_of_a_shard(tmp_path: Path) -> None:
    """The second scan: only the wanted rows, their ids, and the sets that the kernel gives."""
    path = tmp_path / "shard.parquet"
    pq.write_table(pa.table({"text": TEXTS}), path)
    pq.write_table(pa.table({"row": pa.array([0, 3, 5], pa.int32())}), tmp_path / "wanted.parquet")
    first = ids.first_id(3, 9)
    shard = DocumentShard(9, "web", path, len(TEXTS), 0, first)
    payload = {
        "shard": near_steps.shard_payload(shard), "wanted": str(tmp_path / "wanted.parquet"),
        "folder": str(tmp_path / "out"), "width": 5, "max_size": 50, "known": [],
    }  # fmt: skip
    answer = near_steps.shingle_sets_of_shard(json.loads(json.dumps(payload)))
    assert answer["scanned"] == 3
    entry = answer["file"]
    again = near_steps.shingle_sets_of_shard({**payload, "known": [str(tmp_path / "out" / entry["path"])]})
    assert again["scanned"] == 0 and again["file"]["digest"] == entry["digest"], "known sets are not read again"
    table = pq.read_table(tmp_path / "out" / entry["path"])
    assert table.column("doc_id").to_pylist() == [first, first + 3, first + 5]
    ptr, hashes, modulus = shingle_sets(TextColumn.from_texts([TEXTS[0], TEXTS[3], TEXTS[5]]), max_size=50)
    assert modulus[0] > 1
    assert table.column("modulus").to_pylist() == modulus.tolist()
    assert table.column("hashes").to_pylist() == [hashes[ptr[i] : ptr[i + 1]].tobytes() for i in range(3)]
