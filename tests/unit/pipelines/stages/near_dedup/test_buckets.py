"""The task sides of near_dedup's first half: twins, bands, edges, however the rows arrive at a partition."""

from __future__ import annotations

from collections import defaultdict
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
from corpus.run_folder import DocumentShard
from corpus.shard_state import DecisionFiles
from dedup.banding import MAX_ANCHORS, band_keys
from pipelines.spark.exchange import Block, Hop, by_hash, by_shard, pack, unpack
from pipelines.stages.near_dedup import buckets as near_candidates
from pipelines.stages.near_dedup.buckets import TWINS, emit_bands, emit_keys, find_edges, in_buckets, pair_twins
from pipelines.stages.near_dedup.semantic_edges import Meant, known_of_shard
from tests.support.examples import examples
from tests.support.exchanges import by_kind, exchange_here, inbox_of, shard_payload
from tests.unit.dedup.test_banding_properties import ACCEPT, CLEAR, random_sketches

BANDING = {"bands": 21, "rows": 6, "num_perm": 128}
EDGE_SETTINGS = {"accept": ACCEPT, "clear": CLEAR, "max_anchors": MAX_ANCHORS, "first_new": 0}


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


def shard_task(folder: Path, number: int, snapshot: int, parts: list[pa.Table], **extra: Any) -> dict[str, Any]:
    """The payload of a shard with its evidence in some files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for i, part in enumerate(parts):
        pq.write_table(part, folder / f"{snapshot}-{number}-{i}.parquet")
        paths.append(str(folder / f"{snapshot}-{number}-{i}.parquet"))
    rows = sum(part.num_rows for part in parts)
    shard = DocumentShard(number, "web", folder / "none.parquet", rows, 0, ids.first_id(snapshot, number))
    return shard_payload(shard, paths, snapshot=snapshot, **extra)


# ---------------------------------------------------------------------------------------------------------- buckets


@examples(200)
@given(st.lists(st.sampled_from([-(2**63), -1, 0, 7, 2**63 - 1]) | st.integers(-9, 9), max_size=30), st.randoms())
def test_what_is_alone_in_its_bucket_is_left_out(keys: list[int], random: Random) -> None:
    numbers = random.sample(range(2**62, 2**62 + 100), len(keys))
    buckets = defaultdict(list)
    for key, number in zip(keys, numbers, strict=True):
        buckets[key].append(number)
    rows = in_buckets(np.array(keys, np.int64), np.array(numbers, np.int64)).tolist()
    expected = [(key, n) for key in sorted(buckets) for n in sorted(buckets[key]) if len(buckets[key]) > 1]
    assert [(keys[row], numbers[row]) for row in rows] == expected


# ------------------------------------------------------------------------------------------------------------ twins


def twins_of(payloads: list[dict[str, Any]], folder: Path, partitions: int, random: Random) -> list[dict[str, Any]]:
    tasks = [{**p, "partitions": partitions} for p in payloads]
    hops = [
        Hop("pipelines.stages.near_dedup.buckets:pair_twins", partitions, {"writers": 2}),
        Hop("pipelines.stages.near_dedup.buckets:write_twins", 2, {"folder": str(folder)}),
    ]
    return exchange_here("pipelines.stages.near_dedup.buckets:emit_keys", tasks, hops, random)


@pytest.mark.parametrize("partitions", [1, 3, 8])
def test_twins_point_to_the_least_document_of_their_tokens(tmp_path: Path, partitions: int) -> None:
    """Over shards and snapshots; documents without tokens are nobody's twins."""
    counts = {(0, 2): [5, 0, 7, 5], (0, 3): [7, 9], (4, 2): [0, 9, 4], (4, 9): [5, 0]}
    payloads, groups = [], defaultdict(list)
    for (snapshot, number), shingles in counts.items():
        first = ids.first_id(snapshot, number)
        table = evidence(first, shingles)
        payloads.append(shard_task(tmp_path / "in", number, snapshot, [table.slice(0, 1), table.slice(1)]))
        for row, count in enumerate(shingles):
            groups[count].append(first + row)
    expected = {d: min(group) for count, group in groups.items() if count for d in group if d != min(group)}
    digests = set()
    for seed in range(4):
        answers = twins_of(payloads, tmp_path / str(seed), partitions, Random(seed))
        found, files = {}, []
        for answer in answers:
            entry = answer["file"]
            table = pq.read_table(tmp_path / str(seed) / str(answer["snapshot"]) / entry["path"])
            assert table.schema.equals(TWINS) and entry["table"] == "twins"
            for row in table.to_pylist():
                assert row["doc_id"] == ids.first_id(answer["snapshot"], entry["shard"]) + row["row"]
                found[row["doc_id"]] = row["rep"]
            files.append((answer["snapshot"], entry["shard"], entry["digest"]))
        assert found == expected
        assert len({file[:2] for file in files}) == len(files), "one file a snapshot and shard"
        digests.add(tuple(sorted(files)))
    assert len(digests) == 1


def test_who_has_a_key_alone_is_no_twin() -> None:
    table = pa.table({"key": [1, 2, 3], "doc_id": [4, 5, 6]})
    assert list(pair_twins(inbox_of({"keys": table}, Random(1)), {"writers": 2})) == []
    assert list(pair_twins(unpack(0, []), {"writers": 2})) == []
    many = pa.table({"key": [9] * 5000, "doc_id": range(2**60, 2**60 + 5000)})
    found = by_kind(list(pair_twins(inbox_of({"keys": many}, Random(1)), {"writers": 3})))["twins"]
    assert [row["doc_id"] for row in found] == list(range(2**60 + 1, 2**60 + 5000))
    assert {row["rep"] for row in found} == {2**60}
    target = by_shard(np.array([2**60 + 1], np.int64), 3).tolist()
    assert {row["partition"] for row in found} == set(target)


# ------------------------------------------------------------------------------------------------------------ bands


def bands_of(payload: dict[str, Any]) -> list[tuple[int, ...]]:
    found = by_kind(list(emit_bands(payload))).get("bands", [])
    keys = np.array([row["key"] for row in found], np.int64)
    assert [row.pop("partition") for row in found] == by_hash(keys, payload["partitions"]).tolist()
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
    monkeypatch.setattr(near_candidates, "DOCUMENTS_AT_ONCE", at_once)
    table = evidence(ids.first_id(2, 1), [1, 2, 3, 4, 5])
    extra = {"banding": BANDING, "partitions": 7, "twins": []}
    for number, parts in enumerate(([table], [table.slice(0, 2), table.slice(2, 0), table.slice(2)])):
        assert bands_of(shard_task(tmp_path / str(number), 1, 2, parts, **extra)) == expected_bands(
            table, list(range(5))
        )


def test_documents_without_tokens_and_twins_are_not_banded(tmp_path: Path) -> None:
    first = ids.first_id(2, 1)
    table = evidence(first, [1, 0, 3, 1, 0, 6])
    pq.write_table(pa.table({"doc_id": [first + 3]}), tmp_path / "twins.parquet")
    extra = {"banding": BANDING, "partitions": 3}
    found = bands_of(shard_task(tmp_path, 1, 2, [table], twins=[str(tmp_path / "twins.parquet")], **extra))
    assert found == expected_bands(table, [0, 2, 5])
    nothing = evidence(first, [0, 0])
    assert list(emit_bands(shard_task(tmp_path / "x", 1, 2, [nothing], twins=[], **extra))) == []
    assert list(emit_bands(shard_task(tmp_path / "y", 1, 2, [], twins=[], **extra))) == []
    assert list(emit_keys(shard_task(tmp_path / "z", 1, 2, [], partitions=1))) == []


def test_of_an_earlier_snapshot_only_what_was_kept_counts(tmp_path: Path) -> None:
    first = ids.first_id(2, 1)
    table = evidence(first, [1, 2, 2, 4])
    pq.write_table(pa.table({"row": pa.array([0, 2], pa.int32())}), tmp_path / "drops.parquet")
    chain = (DecisionFiles("near_dedup", (str(tmp_path / "drops.parquet"),)),)
    extra = {"banding": BANDING, "partitions": 3, "twins": [], "chain": chain}
    assert bands_of(shard_task(tmp_path / "a", 1, 2, [table], earlier=True, **extra)) == expected_bands(table, [1, 3])
    keys = by_kind(list(emit_keys(shard_task(tmp_path / "b", 1, 2, [table], earlier=True, partitions=1, chain=chain))))
    assert sorted(row["doc_id"] for row in keys["keys"]) == [first + 1, first + 3]
    own = shard_task(tmp_path / "c", 1, 2, [table], **extra)
    assert bands_of(own) == expected_bands(table, [0, 1, 2, 3]), "of this snapshot the evidence is about the living"


# ------------------------------------------------------------------------------------------------------------ edges


def band_table(keys: list[int], sketch: np.ndarray) -> pa.Table:
    halves = sketch.view(np.int64)
    return pa.table({"key": keys, "doc_id": range(len(keys)), "sketch_low": halves[:, 0], "sketch_high": halves[:, 1]})


def found_edges(table: pa.Table, folder: Path, random: Random, **options: Any) -> tuple[dict[str, Any], list[Any]]:
    """The answer, without its file, and the file's rows."""
    hop = {**EDGE_SETTINGS, "folder": str(folder), **options}
    (answer,) = find_edges(inbox_of({"bands": table}, random), hop)
    entry = answer.pop("file")
    if entry is None:
        return answer, []
    rows = pq.read_table(folder / entry["path"])
    assert entry["rows"] == rows.num_rows
    assert [(f.name, str(f.type)) for f in rows.schema] == [("a", "int64"), ("b", "int64"), ("agree", "int16")]
    return answer, [tuple(row.values()) for row in rows.to_pylist()]


@pytest.mark.parametrize("seed", range(40))
def test_edges_do_not_depend_on_how_band_rows_arrive(tmp_path: Path, seed: int) -> None:
    a, b = random_sketches(2, 8)
    table = band_table([-9, -9, -9, 0, 0, 0, 7, 7, 7], np.stack([a, b, a, a, b, b, b, a, b]))
    answer, rows = found_edges(table, tmp_path, Random(seed))
    assert rows == [(0, 2, 128), (4, 5, 128), (6, 8, 128)]
    assert answer == {"capped": 0, "capped_pairs": 0, "capped_examples": []}


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
    (answer,) = find_edges(unpack(0, records), {**EDGE_SETTINGS, "folder": str(tmp_path)})
    rows = pq.read_table(tmp_path / answer["file"]["path"])
    assert rows.column("a").to_pylist() == [0] * (n - 1) and rows.column("b").to_pylist() == list(range(1, n))


def test_a_capped_document_is_told(tmp_path: Path) -> None:
    n = MAX_ANCHORS + 2
    table = band_table([1] * n, random_sketches(n, 2))
    twice = pa.concat_tables([table, table.set_column(0, "key", pa.array([2] * n))])
    answer, rows = found_edges(twice, tmp_path, Random(1))
    pair = (MAX_ANCHORS, MAX_ANCHORS + 1)
    assert rows == []
    assert answer == {"capped": 2, "capped_pairs": 2, "capped_examples": [pair, pair]}
    assert found_edges(twice, tmp_path, Random(1), max_anchors=n)[0]["capped"] == 0


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
    assert list(find_edges(unpack(0, []), {**EDGE_SETTINGS, "folder": str(tmp_path)})) == []


# --------------------------------------------------------------------------------------------------- edges by meaning


def dropped(folder: Path, rows: list[int], stage: str = "exact_dedup") -> DecisionFiles:
    pq.write_table(pa.table({"row": pa.array(rows, pa.int32()), "reason": ["x"] * len(rows)}), folder / f"{stage}.pq")
    return DecisionFiles(stage, (str(folder / f"{stage}.pq"),))


def test_edges_by_meaning_are_those_of_documents_that_take_part(tmp_path: Path) -> None:
    """Not those of documents that are dropped meanwhile, have no token, or are of a published snapshot and dropped."""
    old, new = ids.first_id(0, 1), ids.first_id(1, 1)
    sizes = pa.table(
        {"row": pa.array([0, 1, 2, 3, 4], pa.int32()), "semantic_size": pa.array([2, 2, 2, 1, 2], pa.int32())}
    )
    pq.write_table(sizes, tmp_path / "sizes.pq")
    clusters = DecisionFiles("semantic_clusters", columns=(str(tmp_path / "sizes.pq"),))
    (tmp_path / "old").mkdir()
    tasks = [
        shard_task(tmp_path, 1, 1, [evidence(new, [5, 5, 0, 5, 5, 5])], chain=(clusters, dropped(tmp_path, [1]))),
        shard_task(tmp_path, 1, 0, [evidence(old, [5, 5])], chain=(dropped(tmp_path / "old", [1]),), earlier=True),
    ]
    answers = [known_of_shard({**task, "into": str(tmp_path / "known")}) for task in tasks]
    known = [pq.read_table(a["file"], partitioning=None).column("doc_id").to_pylist() for a in answers]
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
    left, right, cosine = Meant(paths, len(pairs), tuple(a["file"] for a in answers)).read()
    assert list(zip(left.tolist(), right.tolist(), cosine.tolist(), strict=True)) == [
        (new, new + 4, 0.0),
        (new + 4, old, 0.375),
    ]
    assert [len(part) for part in Meant(paths, len(pairs), ()).read()] == [0, 0, 0]
    assert [len(part) for part in Meant().read()] == [0, 0, 0]


def test_a_shard_without_edges_by_meaning_is_not_known(tmp_path: Path) -> None:
    first = ids.first_id(1, 1)
    task = shard_task(tmp_path, 1, 1, [evidence(first, [5, 5])])
    assert known_of_shard({**task, "into": str(tmp_path / "known")}) == {"file": None}
    empty = shard_payload(DocumentShard(2, "web", tmp_path / "none.parquet", 0, 0, ids.first_id(1, 2)), snapshot=1)
    assert known_of_shard({**empty, "into": str(tmp_path / "known")}) == {"file": None}
