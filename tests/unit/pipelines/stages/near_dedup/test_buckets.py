"""The task sides of near_dedup's first half: twins, bands, edges, however the rows arrive at a partition."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus import ids
from corpus.files import Manifest, ManifestRef
from corpus.run_folder import DocumentShard
from dedup.banding import MAX_ANCHORS, band_keys
from pipelines.spark.blocks import Block, NextHop, OutputFolder, by_hash, by_shard, pack, unpack
from pipelines.spark.exchange import Hop
from pipelines.stages.near_dedup import buckets
from pipelines.stages.near_dedup.buckets import (
    Bands,
    BandTask,
    BucketEdges,
    BucketRules,
    BucketSettings,
    emit_bands,
    find_edges,
)
from pipelines.stages.near_dedup.semantic_edges import ParticipantsTask, SemanticEdges, write_participants
from pipelines.stages.near_dedup.tables import TWINS, SnapshotFile, rows_in_buckets
from pipelines.stages.near_dedup.twins import KeyTask, emit_keys, pair_twins, write_twins
from pipelines.stages.shard_task import Chain, ShardTask
from tests.support.examples import examples
from tests.support.exchanges import by_kind, committed, exchange_here, inbox_of, task_of
from tests.unit.dedup.test_banding_properties import ACCEPT, CLEAR, random_sketches

BANDING = Bands(bands=21, rows=6, num_perm=128)
RULES = BucketRules(accept=ACCEPT, clear=CLEAR, max_anchors=MAX_ANCHORS, first_new=0)


def evidence(first: int, shingles: list[int], seed: int = 3) -> pa.Table:
    """Evidence about the documents of a shard, as the scan leaves it; equal counts of shingles have equal keys."""
    n = len(shingles)
    minima = np.random.default_rng(seed).integers(0, 2**32, (n, 128)).astype(np.uint32)
    sketch = random_sketches(n, seed).view(np.int64)
    return pa.table(
        {
            "row": pa.array(range(n), pa.int32()),
            "doc_id": first + np.arange(n),
            "shingles": pa.array(shingles, pa.int32()),
            "token_key": pa.array([-(2**59) * s for s in shingles], pa.int64()),
            "sketch_low": sketch[:, 0],
            "sketch_high": sketch[:, 1],
            "signature": pa.array([row.tobytes() for row in minima], pa.binary()),
        }
    )


def shard_task(
    folder: Path, number: int, snapshot: int, parts: list[pa.Table], chain: Chain = (), earlier: bool = False
) -> ShardTask:
    """A shard with its evidence in some files."""
    rows = sum(part.num_rows for part in parts)
    shard = DocumentShard(number, "web", folder / "none.parquet", rows, 0, ids.first_id(snapshot, number))
    return task_of(shard, committed(folder / f"{snapshot}-{number}", number, evidence=parts), chain, earlier)


# ---------------------------------------------------------------------------------------------------------- buckets


@examples(200)
@given(st.lists(st.sampled_from([-(2**63), -1, 0, 7, 2**63 - 1]) | st.integers(-9, 9), max_size=30), st.randoms())
def test_what_is_alone_in_its_bucket_is_left_out(keys: list[int], random: Random) -> None:
    numbers = random.sample(range(2**62, 2**62 + 100), len(keys))
    buckets = defaultdict(list)
    for key, number in zip(keys, numbers, strict=True):
        buckets[key].append(number)
    rows = rows_in_buckets(np.array(keys, np.int64), np.array(numbers, np.int64)).tolist()
    expected = [(key, n) for key in sorted(buckets) for n in sorted(buckets[key]) if len(buckets[key]) > 1]
    assert [(keys[row], numbers[row]) for row in rows] == expected


# ------------------------------------------------------------------------------------------------------------ twins


def twins_of(tasks: list[ShardTask], folder: Path, partitions: int, random: Random) -> list[SnapshotFile]:
    jobs = [KeyTask(task, partitions) for task in tasks]
    hops = [Hop(pair_twins, partitions, NextHop(2))]
    return exchange_here(emit_keys, jobs, hops, Hop(write_twins, 2, OutputFolder(folder)), random)


@pytest.mark.parametrize("partitions", [1, 3, 8])
def test_twins_point_to_the_least_document_of_their_tokens(tmp_path: Path, partitions: int) -> None:
    """Over shards and snapshots; documents without tokens are nobody's twins."""
    counts = {(0, 2): [5, 0, 7, 5], (0, 3): [7, 9], (4, 2): [0, 9, 4], (4, 9): [5, 0]}
    tasks, groups = [], defaultdict(list)
    for (snapshot, number), shingles in counts.items():
        first = ids.first_id(snapshot, number)
        table = evidence(first, shingles)
        tasks.append(shard_task(tmp_path / "in", number, snapshot, [table.slice(0, 1), table.slice(1)]))
        for row, count in enumerate(shingles):
            groups[count].append(first + row)
    expected = {d: min(group) for count, group in groups.items() if count for d in group if d != min(group)}
    digests = set()
    for seed in range(4):
        answers = twins_of(tasks, tmp_path / str(seed), partitions, Random(seed))
        found, files = {}, []
        for answer in answers:
            entry = answer.file
            table = pq.read_table(tmp_path / str(seed) / str(answer.snapshot) / entry.path)
            assert table.schema.equals(TWINS) and entry.table == "twins"
            for row in table.to_pylist():
                assert row["doc_id"] == ids.first_id(answer.snapshot, entry.shard) + row["row"]
                found[row["doc_id"]] = row["rep"]
            files.append((answer.snapshot, entry.shard, entry.digest))
        assert found == expected
        assert len({file[:2] for file in files}) == len(files), "one file a snapshot and shard"
        digests.add(tuple(sorted(files)))
    assert len(digests) == 1


def test_who_has_a_key_alone_is_no_twin() -> None:
    table = pa.table({"key": [1, 2, 3], "doc_id": [4, 5, 6]})
    assert list(pair_twins(inbox_of({"keys": table}, Random(1)), NextHop(2))) == []
    assert list(pair_twins(unpack(0, []), NextHop(2))) == []
    many = pa.table({"key": [9] * 5000, "doc_id": range(2**60, 2**60 + 5000)})
    found = by_kind(list(pair_twins(inbox_of({"keys": many}, Random(1)), NextHop(3))))["twins"]
    assert [row["doc_id"] for row in found] == list(range(2**60 + 1, 2**60 + 5000))
    assert {row["rep"] for row in found} == {2**60}
    target = by_shard(np.array([2**60 + 1], np.int64), 3).tolist()
    assert {row["partition"] for row in found} == set(target)


# ------------------------------------------------------------------------------------------------------------ bands


def bands_of(task: ShardTask, partitions: int, twins: ManifestRef | None = None) -> list[tuple[int, ...]]:
    found = by_kind(list(emit_bands(BandTask(task, twins, BANDING, partitions)))).get("bands", [])
    keys = np.array([row["key"] for row in found], np.int64)
    assert [row.pop("partition") for row in found] == by_hash(keys, partitions).tolist()
    return sorted(tuple(row.values()) for row in found)


def expected_bands(table: pa.Table, rows: list[int]) -> list[tuple[int, ...]]:
    minima = np.stack([np.frombuffer(m, np.uint32) for m in table.column("signature").to_pylist()])
    keys = band_keys(minima, 21, 6)
    told = [[table.column(n)[row].as_py() for n in ("doc_id", "sketch_low", "sketch_high")] for row in rows]
    return sorted((int(keys[row, b]), *told[i]) for i, row in enumerate(rows) for b in range(21))


@pytest.mark.parametrize("at_once", [1, 2, 32_768])
def test_bands_of_evidence_in_several_files_and_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(buckets, "DOCUMENTS_AT_ONCE", at_once)
    table = evidence(ids.first_id(2, 1), [1, 2, 3, 4, 5])
    for number, parts in enumerate(([table], [table.slice(0, 2), table.slice(2, 0), table.slice(2)])):
        found = bands_of(shard_task(tmp_path / str(number), 1, 2, parts), 7)
        assert found == expected_bands(table, list(range(5)))


def test_documents_without_tokens_and_twins_are_not_banded(tmp_path: Path) -> None:
    first = ids.first_id(2, 1)
    table = evidence(first, [1, 0, 3, 1, 0, 6])
    twins = committed(tmp_path / "twins", 1, twins=pa.table({"doc_id": [first + 3]})).ref
    assert bands_of(shard_task(tmp_path, 1, 2, [table]), 3, twins) == expected_bands(table, [0, 2, 5])
    nothing = evidence(first, [0, 0])
    none = committed(tmp_path / "no twins", 1).ref
    for twins_or_none in (None, none):
        for parts in ([nothing], []):
            task = shard_task(tmp_path / "x", 1, 2, parts)
            assert list(emit_bands(BandTask(task, twins_or_none, BANDING, 3))) == []
    assert list(emit_keys(KeyTask(shard_task(tmp_path / "z", 1, 2, []), 1))) == []


def test_of_an_earlier_snapshot_only_what_was_kept_counts(tmp_path: Path) -> None:
    first = ids.first_id(2, 1)
    table = evidence(first, [1, 2, 2, 4])
    drops = committed(tmp_path / "drops", 1, drops=pa.table({"row": pa.array([0, 2], pa.int32())}))
    chain = [("near_dedup", drops)]
    earlier = shard_task(tmp_path / "a", 1, 2, [table], chain, earlier=True)
    assert bands_of(earlier, 3) == expected_bands(table, [1, 3])
    keys = by_kind(list(emit_keys(KeyTask(earlier, 1))))
    assert sorted(row["doc_id"] for row in keys["keys"]) == [first + 1, first + 3]
    own = shard_task(tmp_path / "c", 1, 2, [table], chain)
    assert bands_of(own, 3) == expected_bands(table, [0, 1, 2, 3]), "of this snapshot the evidence is about the living"


# ------------------------------------------------------------------------------------------------------------ edges


def band_table(keys: list[int], sketch: np.ndarray) -> pa.Table:
    halves = sketch.view(np.int64)
    return pa.table({"key": keys, "doc_id": range(len(keys)), "sketch_low": halves[:, 0], "sketch_high": halves[:, 1]})


def found_edges(table: pa.Table, folder: Path, random: Random, **options: Any) -> tuple[BucketEdges, list[Any]]:
    """The answer, without its file, and the file's rows."""
    settings = BucketSettings(replace(RULES, **options), folder)
    (answer,) = find_edges(inbox_of({"bands": table}, random), settings)
    if answer.file is None:
        return answer, []
    rows = pq.read_table(folder / answer.file.path)
    assert answer.file.rows == rows.num_rows
    assert [(f.name, str(f.type)) for f in rows.schema] == [("a", "int64"), ("b", "int64"), ("agree", "int16")]
    return replace(answer, file=None), [tuple(row.values()) for row in rows.to_pylist()]


@pytest.mark.parametrize("seed", range(40))
def test_edges_do_not_depend_on_how_band_rows_arrive(tmp_path: Path, seed: int) -> None:
    a, b = random_sketches(2, 8)
    table = band_table([-9, -9, -9, 0, 0, 0, 7, 7, 7], np.stack([a, b, a, a, b, b, b, a, b]))
    answer, rows = found_edges(table, tmp_path, Random(seed))
    assert rows == [(0, 2, 128), (4, 5, 128), (6, 8, 128)]
    assert answer == BucketEdges(None, capped=0, capped_pairs=0, capped_examples=[])


def test_an_edge_of_several_buckets_is_written_once(tmp_path: Path) -> None:
    a, b = random_sketches(2, 8)
    table = band_table([0, 0, 0, 0], np.stack([a, a, b, b]))
    twice = pa.concat_tables([table, table.set_column(0, "key", pa.array([5] * 4))])
    assert found_edges(twice, tmp_path, Random(2))[1] == [(0, 1, 128), (2, 3, 128)]


def test_a_bucket_of_very_many_blocks_stays_one(tmp_path: Path) -> None:
    n = 10_050
    table = band_table([4] * n, np.repeat(random_sketches(1, 1), n, axis=0))
    records = list(pack(Block(0, "bands", table.slice(i, 1)) for i in range(n)))
    Random(3).shuffle(records)
    (answer,) = find_edges(unpack(0, records), BucketSettings(RULES, tmp_path))
    assert answer.file is not None
    rows = pq.read_table(tmp_path / answer.file.path)
    assert rows.column("a").to_pylist() == [0] * (n - 1) and rows.column("b").to_pylist() == list(range(1, n))


def test_a_capped_document_is_told(tmp_path: Path) -> None:
    n = MAX_ANCHORS + 2
    table = band_table([1] * n, random_sketches(n, 2))
    twice = pa.concat_tables([table, table.set_column(0, "key", pa.array([2] * n))])
    answer, rows = found_edges(twice, tmp_path, Random(1))
    pair = (MAX_ANCHORS, MAX_ANCHORS + 1)
    assert rows == []
    assert answer == BucketEdges(None, capped=2, capped_pairs=2, capped_examples=[pair, pair])
    assert found_edges(twice, tmp_path, Random(1), max_anchors=n)[0].capped == 0


def test_published_documents_have_edges_with_new_ones_only(tmp_path: Path) -> None:
    a, b = random_sketches(2, 8)
    table = band_table([3] * 6, np.stack([a, b, a, a, b, a]))
    assert found_edges(table, tmp_path, Random(1), first_new=3)[1] == [
        (0, 3, 128),
        (0, 5, 128),
        (1, 4, 128),
        (2, 3, 128),
        (2, 5, 128),
    ]


def test_no_rows_no_answer(tmp_path: Path) -> None:
    assert list(find_edges(unpack(0, []), BucketSettings(RULES, tmp_path))) == []


# --------------------------------------------------------------------------------------------------- edges by meaning


def dropped(folder: Path, rows: list[int]) -> tuple[str, Manifest]:
    table = pa.table({"row": pa.array(rows, pa.int32()), "reason": ["x"] * len(rows)})
    return "exact_dedup", committed(folder, 1, drops=table)


def test_edges_by_meaning_are_those_of_documents_that_take_part(tmp_path: Path) -> None:
    """Not those of documents that are dropped meanwhile, have no token, or are of a published snapshot and dropped."""
    old, new = ids.first_id(0, 1), ids.first_id(1, 1)
    sizes = pa.table(
        {"row": pa.array([0, 1, 2, 3, 4], pa.int32()), "semantic_size": pa.array([2, 2, 2, 1, 2], pa.int32())}
    )
    clusters = "semantic_clusters", committed(tmp_path / "sizes", 1, columns=sizes)
    own = [clusters, dropped(tmp_path / "dropped", [1])]
    tasks = [
        shard_task(tmp_path, 1, 1, [evidence(new, [5, 5, 0, 5, 5, 5])], own),
        shard_task(tmp_path, 1, 0, [evidence(old, [5, 5])], [dropped(tmp_path / "old", [1])], earlier=True),
    ]
    files = [path for task in tasks for path in write_participants(ParticipantsTask(task, tmp_path / "known"))]
    known = [pq.read_table(file, partitioning=None).column("doc_id").to_pylist() for file in files]
    assert known == [[new, new + 4], [old]], "of new documents only those with an edge, of old ones all that are left"
    pairs = [
        (new, new + 4),
        (new, new + 1),
        (new + 2, new + 4),
        (new + 4, old),
        (new, old + 1),
        (new, ids.first_id(9, 9)),
    ]
    edges = pa.table(
        {
            "row": pa.array([0] * len(pairs), pa.int32()),
            "doc_id": [a for a, _ in pairs],
            "other": [b for _, b in pairs],
            "similarity": pa.array(np.arange(len(pairs)) / 8, pa.float32()),
        }
    )
    pq.write_table(edges.slice(0, 2), tmp_path / "first.pq")
    pq.write_table(edges.slice(2), tmp_path / "second.pq")
    paths = (str(tmp_path / "first.pq"), str(tmp_path / "second.pq"))
    left, right, cosine = SemanticEdges(paths, len(pairs), tuple(map(str, files))).read()
    assert list(zip(left.tolist(), right.tolist(), cosine.tolist(), strict=True)) == [
        (new, new + 4, 0.0),
        (new + 4, old, 0.375),
    ]
    assert [len(part) for part in SemanticEdges(paths, len(pairs), ()).read()] == [0, 0, 0]
    assert [len(part) for part in SemanticEdges().read()] == [0, 0, 0]


def test_a_shard_without_edges_by_meaning_is_not_known(tmp_path: Path) -> None:
    first = ids.first_id(1, 1)
    task = shard_task(tmp_path, 1, 1, [evidence(first, [5, 5])])
    assert write_participants(ParticipantsTask(task, tmp_path / "known")) == []
    empty = task_of(DocumentShard(2, "web", tmp_path / "none.parquet", 0, 0, ids.first_id(1, 2)))
    assert write_participants(ParticipantsTask(empty, tmp_path / "known")) == []
