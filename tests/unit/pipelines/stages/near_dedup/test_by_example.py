"""Duplicates by example: hashes of spans, and the chain from texts to survivors without Spark."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus import ids
from corpus.files import commit
from corpus.run_folder import DocumentShard
from corpus.schemas import DROPS
from dedup.minhash import signatures
from pipelines.spark.blocks import NextHop, OutputFolder
from pipelines.spark.exchange import Hop
from pipelines.spark.shard_files import ShardFiles, write_by_shard
from pipelines.stages.near_dedup.buckets import (
    Bands,
    BandTask,
    BucketRules,
    BucketSettings,
    Candidates,
    emit_bands,
    find_edges,
)
from pipelines.stages.near_dedup.elections import ELECTIONS
from pipelines.stages.near_dedup.plan import plan
from pipelines.stages.near_dedup.semantic_edges import SemanticEdges
from pipelines.stages.near_dedup.sets import SetRules, SetTask, read_shard
from pipelines.stages.near_dedup.tables import commit_snapshots
from pipelines.stages.near_dedup.twins import KeyTask, emit_keys, pair_twins, write_twins
from pipelines.stages.near_dedup.verify import COLUMNS, EDGES, MemberTask, Rules, emit_members, resolve_components
from pipelines.stages.shard_task import ShardTask
from tests.oracles import text as oracles
from tests.support.exchanges import committed, exchange_here, task_of
from text.arrow import TextColumn
from text.sequences import span_hashes


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


BANDS = Bands(bands=21, rows=6, num_perm=128)
RULES = BucketRules(accept=0.51, clear=0.87, max_anchors=512, first_new=0)


def scanned(folder: Path, first: int) -> ShardTask:
    """The texts as a document shard, and what the scan of near_dedup found in them."""
    column = TextColumn.from_texts(TEXTS)
    found = signatures(column, 128)
    halves = found.sketch.view(np.int64)
    evidence = pa.table(
        {
            "row": pa.array(range(len(TEXTS)), pa.int32()),
            "doc_id": first + np.arange(len(TEXTS)),
            "bytes": column.lengths.astype(np.int32),
            "shingles": found.shingles,
            "token_key": found.token_keys,
            "sketch_low": halves[:, 0],
            "sketch_high": halves[:, 1],
            "signature": pa.array([m.tobytes() for m in found.minima], pa.binary()),
        }
    )
    pq.write_table(pa.table({"text": TEXTS}), folder / "shard.parquet")
    shard = DocumentShard(ids.shard_of(first), "web", folder / "shard.parquet", len(TEXTS), 0, first)
    return task_of(shard, committed(folder / "evidence", shard.number, evidence=evidence))


@pytest.mark.parametrize("partitions", [1, 3, 8])
def test_from_texts_to_survivors(tmp_path: Path, partitions: int) -> None:
    """Twins, bands, buckets, plan, sets, verification and election, each fed with what the one before gave."""
    random, first = Random(partitions), ids.first_id(3, 9)
    task = scanned(tmp_path, first)
    hop, last = Hop(pair_twins, partitions, NextHop(2)), Hop(write_twins, 2, OutputFolder(tmp_path / "twins"))
    found_twins = exchange_here(emit_keys, [KeyTask(task, partitions)], [hop], last, random)
    twins = commit_snapshots(tmp_path / "twins", found_twins)
    pairs = twins[3].read_all("twins").to_pylist()
    assert [(row["row"], row["rep"]) for row in pairs] == [(4, first)], "4 is 0 in capitals, with commas"

    edge_files = Hop(find_edges, partitions, BucketSettings(RULES, tmp_path / "edges"))
    banded = BandTask(task, twins[3].ref, BANDS, partitions)
    answers = exchange_here(emit_bands, [banded], [], edge_files, random)
    paths = [str(tmp_path / "edges" / a.file.path) for a in answers if a.file]
    edges = {(a, b) for path in paths for a, b, _ in zip(*pq.read_table(path).to_pydict().values(), strict=True)}
    assert (first, first + 1) in edges and all({a - first, b - first} <= {0, 1, 3} for a, b in edges)

    cluster: Any = None  # all in memory
    candidates = Candidates(paths, len(edges), {})
    planned, rounds = plan(cluster, candidates, twins, 129, 1000, tmp_path, SemanticEdges())
    assert rounds == 0
    members = planned[3].ref
    rules = SetRules(5, 0, cut=False, merits=True, facts=True)
    read = read_shard(SetTask(task, members, None, rules, tmp_path / "sets"))
    assert read.scanned == planned[3].rows("members") == 1 + len({doc for edge in edges for doc in edge}), (
        "and the twin"
    )
    sets = commit(tmp_path / "sets", {}, read.files)

    schemas = {"drops": DROPS, "columns": COLUMNS, "edges": EDGES, "elections": ELECTIONS}
    election = Hop(resolve_components, partitions, Rules(0.75, 97, 0.0, "best_quality", writers=2))
    written = Hop(write_by_shard, 2, ShardFiles(tmp_path, schemas))
    known = MemberTask(task, members, sets.ref, partitions, merits=True, facts=True)
    decided = exchange_here(emit_members, [known], [election], written, random)
    found = {a.table: pq.read_table(tmp_path / a.path, partitioning=None).to_pylist() for a in decided}
    verified = [(row["doc_id"] - first, row["other"] - first, row["similarity"]) for row in found["edges"]]
    assert [edge[:2] for edge in verified] == [(0, 1), (0, 4)]
    for a, b, similarity in verified:
        assert similarity == pytest.approx(oracles.jaccard(TEXTS[a], TEXTS[b]), abs=1e-6)
    assert [row["row"] for row in found["columns"]] == [0, 1, 4]
    elected = {row["row"]: row["survivor"] - first for row in found["drops"]}
    (stays,) = set(elected.values())
    assert stays in (0, 1) and 4 in elected, "not the one in capitals"
    for row in found["drops"]:
        assert row["similarity"] == pytest.approx(oracles.jaccard(TEXTS[row["row"]], TEXTS[stays]), abs=1e-6)


def test_the_key_of_tokens_is_that_of_their_sequence() -> None:
    """Twins have one similarity to anybody, so a key must tell sequences apart, not sets."""
    texts = ["a b c", "A, B; C!", "a c b", "a b", "ab c", "a b c c", "", "?!", "a b c d e f", "ａ b c"]
    keys = signatures(TextColumn.from_texts(texts), 128).token_keys.tolist()
    assert keys[0] == keys[1] == keys[9] and keys[6] == keys[7]
    assert len(set(keys)) == 7
    rng = np.random.default_rng(2)
    many = [" ".join(rng.integers(0, 9, 6).astype(str)) for _ in range(30_000)]
    keys = signatures(TextColumn.from_texts(many), 128).token_keys.tolist()
    assert len(set(keys)) == len(set(many)) == len(set(zip(keys, many, strict=True)))
