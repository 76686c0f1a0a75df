"""The task sides of semantic_clusters: what comparing every pair finds, however blocks arrive; nothing of the past."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus import ids
from corpus.run_folder import DocumentShard
from corpus.schemas import SEMANTIC_CELLS, SEMANTIC_COLUMNS, SEMANTIC_EDGES
from dedup.vectors import pack_vectors, unit, vectors_as_bytes, vectors_from_bytes
from pipelines.spark.blocks import Block, by_id, by_shard, unpack
from pipelines.spark.exchange import Hop
from pipelines.spark.shard_files import ShardFiles, write_by_shard
from pipelines.stages.semantic_clusters.tasks import (
    Cells,
    CellTask,
    Sample,
    SampleTask,
    _assigner,
    compare_cells,
    emit_cells,
    sample_vectors,
)
from tests.oracles.embed import every_pair, told_once
from tests.support.exchanges import by_kind, committed, exchange_here, inbox_of, task_of

pytest.importorskip("faiss")
WRITERS, DIM, PARTITIONS = 3, 12, 5
CELLS = Cells(threshold=0.9, max_documents=20_000, seed=1, device="cpu", writers=WRITERS)


@dataclass
class Corpus:
    """Shards of this run and of earlier ones, with embeddings on disk.

    Attributes:
        centroids: float32[cells, DIM].
        tasks: one a shard.
        doc_id: int64[n], documents that are alive and have a vector, ascending.
        vectors: float32[n, DIM], as they are stored, at length one.
        final: bool[n].
    """

    centroids: np.ndarray
    tasks: list[CellTask]
    doc_id: np.ndarray
    vectors: np.ndarray
    final: np.ndarray


def some_vectors(random: np.random.Generator, n: int) -> np.ndarray:
    """About six places, with copies, and some rows that are no vector."""
    middle = np.random.default_rng(77).standard_normal((6, DIM))
    found = middle[random.integers(0, 6, n)] + 0.35 * random.standard_normal((n, DIM))
    found[random.random(n) < 0.15] = middle[0]
    found[random.random(n) < 0.1] = 0
    found[random.random(n) < 0.05] = np.nan
    return np.where(np.isnan(found), found, unit(found.astype(np.float32))).astype(np.float32)


def corpus(
    folder: Path, seed: int, shards: Iterable[tuple[int, int]] = ((0, 0), (0, 4), (1, 0), (1, 1), (1, 2))
) -> Corpus:
    """Shards as (snapshot, number); those of snapshot 0 are published."""
    random = np.random.default_rng(seed)
    centroids = unit(random.standard_normal((7, DIM)).astype(np.float32))
    np.save(folder / "centroids.npy", centroids)
    tasks, doc_ids, vectors, final = [], [], [], []
    for snapshot, number in shards:
        n = int(random.integers(0, 40))
        first = ids.first_id(snapshot, number)
        stored = some_vectors(random, n)
        dropped = random.random(n) < 0.2
        name = f"{snapshot}-{number}"
        seen = np.flatnonzero(random.random(n) < 0.95).astype(np.int32)
        evidence = {"row": seen, "doc_id": first + seen.astype(np.int64), "embedding": pack_vectors(stored[seen])}
        drops = pa.table({"row": pa.array(np.flatnonzero(dropped), pa.int32()), "reason": ["x"] * int(dropped.sum())})
        shard = DocumentShard(number, "web", folder / "none.parquet", n, 0, first)
        seen_there = committed(folder / f"evidence-{name}", number, evidence=pa.table(evidence))
        chain = [("exact_dedup", committed(folder / f"drops-{name}", number, drops=drops))]
        task = task_of(shard, seen_there, chain, earlier=not snapshot)
        tasks.append(CellTask(task, folder / "centroids.npy", "cpu", PARTITIONS))
        as_stored = stored.astype(np.float16).astype(np.float32)
        kept = [i for i in seen.tolist() if not dropped[i] and np.isfinite(as_stored[i]).all() and as_stored[i].any()]
        doc_ids += [first + i for i in kept]
        vectors += [as_stored[kept]]
        final += [not snapshot] * len(kept)
    order = np.argsort(doc_ids)
    whole = unit(np.concatenate([np.zeros((0, DIM), np.float32), *vectors]))
    return Corpus(centroids, tasks, np.array(doc_ids, np.int64)[order], whole[order], np.array(final, bool)[order])


def emitted(tasks: list[CellTask]) -> list[Block]:
    _assigner.cache_clear()
    return [block for task in tasks for block in emit_cells(task)]


def told(blocks: list[Block], random: Random, **settings: Any) -> dict[str, list[dict[str, Any]]]:
    """What the hop says of all partitions, each row at the partition that writes it."""
    rows: dict[str, list[dict[str, Any]]] = {"columns": [], "edges": [], "cells": []}
    for partition in sorted({block.partition for block in blocks}):
        arrived = pa.concat_tables([block.rows for block in blocks if block.partition == partition])
        out = list(compare_cells(inbox_of({"members": arrived}, random), replace(CELLS, **settings)))
        for kind, found in by_kind(out).items():
            rows[kind] += found
    for found in rows.values():
        doc_ids = np.array([row["doc_id"] for row in found], np.int64)
        assert [row.pop("partition") for row in found] == by_shard(doc_ids, WRITERS).tolist()
        found.sort(key=lambda row: (row["doc_id"], row.get("other", 0)))
    return rows


@pytest.mark.parametrize("seed", range(8))
def test_each_document_that_is_alive_and_has_a_vector_goes_to_its_cell(tmp_path: Path, seed: int) -> None:
    known = corpus(tmp_path, seed)
    exact = (known.vectors.astype(float) @ known.centroids.astype(float).T).astype(np.float32)
    blocks = emitted(known.tasks)
    for block in blocks:
        cell = block.rows.column("cell").to_numpy().astype(np.int64)
        assert block.kind == "members" and (by_id(cell, PARTITIONS) == block.partition).all()
    table = pa.concat_tables([block.rows for block in blocks]).sort_by("doc_id")
    assert table.column("doc_id").to_pylist() == known.doc_id.tolist()
    assert table.column("final").to_pylist() == known.final.tolist()
    assert table.column("cell").to_pylist() == exact.argmax(axis=1).tolist()
    np.testing.assert_allclose(table.column("cosine").to_numpy(), exact.max(axis=1), atol=1e-6)
    np.testing.assert_allclose(vectors_from_bytes(table.column("vector")), known.vectors, atol=1e-3)


@pytest.mark.parametrize("seed", range(25))
def test_the_hop_says_what_comparing_every_pair_finds(tmp_path: Path, seed: int) -> None:
    known = corpus(tmp_path, seed)
    found = told(emitted(known.tasks), Random(seed))
    exact = (known.vectors.astype(float) @ known.centroids.astype(float).T).astype(np.float32)
    cell, distance = exact.argmax(axis=1), np.maximum(0, np.round(1 - exact.max(axis=1), 4))
    order = np.lexsort((known.doc_id, cell))
    cell, distance, doc_id, final = cell[order], distance[order], known.doc_id[order], known.final[order]
    sent = unit(known.vectors[order].astype(np.float16).astype(np.float32))
    names, sizes = np.unique(cell, return_counts=True)
    ptr = [0, *np.cumsum(sizes).tolist()]
    twin = every_pair(sent, ptr, CELLS.threshold)
    component = np.array(twin.component, np.int64)
    members = {c: doc_id[component == c] for c in set(twin.component)}
    expected = {}
    for i in np.flatnonzero(~final):
        mine = members[component[i]]
        expected[int(doc_id[i])] = {
            "cluster_id": int(cell[i]),
            "cluster_size": int(sizes[names == cell[i]][0]),
            "semantic_component": int(mine.min()) if len(mine) > 1 else None,
            "semantic_size": len(mine),
            "centroid_distance": pytest.approx(float(distance[i]), abs=1.1e-4),
            "density": None if np.isnan(twin.density[i]) else pytest.approx(twin.density[i], abs=1.1e-4),
            "nearest_similarity": None if np.isnan(twin.nearest[i]) else pytest.approx(twin.nearest[i], abs=1.1e-4),
        }
    assert {row.pop("doc_id"): row for row in found["columns"]} == expected
    edges = {}
    for (a, b), cosine in told_once(sent, ptr, twin).items():
        if not (final[a] and final[b]):
            ends = (b, a) if final[a] or (not final[b] and doc_id[a] > doc_id[b]) else (a, b)
            edges[tuple(int(doc_id[end]) for end in ends)] = pytest.approx(cosine, abs=2e-6)
    assert {(row["doc_id"], row["other"]): row["similarity"] for row in found["edges"]} == edges
    by_cell = {}
    for name, size in zip(names.tolist(), sizes.tolist(), strict=True):
        new = np.flatnonzero((cell == name) & ~final)
        if len(new):
            by_cell[name] = size, len(new), pytest.approx(float(distance[new].mean()), abs=2e-4)
    columns = ("cluster_size", "new_documents", "mean_distance")
    assert {row["cluster_id"]: tuple(row[c] for c in columns) for row in found["cells"]} == by_cell
    far = dict(zip(doc_id.tolist(), distance.tolist(), strict=True))
    for row in found["cells"]:
        new = doc_id[(cell == row["cluster_id"]) & ~final]
        assert row["doc_id"] in new and far[row["doc_id"]] <= min(far[d] for d in new.tolist()) + 1.1e-4
        assert (row["divided"], row["capped"]) == (0, 0)


def test_the_cases_say_something(tmp_path: Path) -> None:
    """Components, edges to published documents, documents alone: all of them occur."""
    seen: dict[str, int] = {"edges": 0, "across": 0, "alone": 0, "published": 0}
    for seed in range(25):
        known = corpus(tmp_path, seed)
        found = told(emitted(known.tasks), Random(seed))
        published = set(known.doc_id[known.final].tolist())
        seen["edges"] += len(found["edges"])
        seen["across"] += sum(row["other"] in published for row in found["edges"])
        seen["alone"] += sum(row["nearest_similarity"] is None for row in found["columns"])
        seen["published"] += len(published)
        for rows in found.values():
            assert not published & {row["doc_id"] for row in rows}, "a published document gets no row"
    assert seen["edges"] > 500 and seen["across"] > 100 and seen["alone"] > 3 and seen["published"] > 300, seen


@pytest.mark.parametrize("most", [16, 20_000])
def test_the_order_of_arrival_changes_nothing(tmp_path: Path, most: int) -> None:
    known = corpus(tmp_path, 3, ((0, 0), (1, 0), (1, 1), (1, 2), (1, 3), (1, 4), (1, 5), (1, 6), (1, 7)))
    first = told(emitted(known.tasks), Random(0), max_documents=most)
    for seed in range(1, 8):
        tasks = list(known.tasks)
        Random(seed).shuffle(tasks)
        assert told(emitted(tasks), Random(seed), max_documents=most) == first


def test_a_giant_cell_is_divided_and_said_to_be_so(tmp_path: Path) -> None:
    known = corpus(tmp_path, 3, [(1, i) for i in range(9)])
    whole, divided = (told(emitted(known.tasks), Random(1), max_documents=most) for most in (20_000, 16))
    exact = known.vectors.astype(float) @ known.centroids.astype(float).T
    distinct = [
        len({row.tobytes() for row in known.vectors[exact.argmax(axis=1) == cell]}) for cell in range(exact.shape[1])
    ]
    assert sum(row["divided"] for row in whole["cells"]) == 0
    assert sum(row["divided"] for row in divided["cells"]) == sum(n > 16 for n in distinct) > 0
    kept = ("doc_id", "cluster_id", "cluster_size", "centroid_distance")
    assert [[row[c] for c in kept] for row in divided["columns"]] == [
        [row[c] for c in kept] for row in whole["columns"]
    ]
    ends = [{(row["doc_id"], row["other"]) for row in found["edges"]} for found in (divided, whole)]
    assert ends[0] and ends[0] < ends[1], "fewer pairs are compared"


@pytest.mark.parametrize("partitions", [1, 4, 11])
def test_whole_exchanges_write_equal_files(tmp_path: Path, partitions: int) -> None:
    known = corpus(tmp_path, 5)
    digests = []
    for number, (count, seed) in enumerate([(2, 0), (partitions, 1)]):
        folder = tmp_path / f"out-{number}"
        schemas = {"columns": SEMANTIC_COLUMNS, "edges": SEMANTIC_EDGES, "cells": SEMANTIC_CELLS}
        hop, last = Hop(compare_cells, count, CELLS), Hop(write_by_shard, WRITERS, ShardFiles(folder, schemas))
        tasks = [replace(task, partitions=count) for task in known.tasks]
        answers = exchange_here(emit_cells, tasks, [hop], last, Random(seed))
        for answer in answers:
            table = pq.read_table(folder / answer.path)
            assert table.schema.names == schemas[answer.table].names
            assert (table.column("doc_id").to_numpy() & ids.MAX_ROW).tolist() == table.column("row").to_pylist()
        digests.append({(a.table, a.shard): a.digest for a in answers})
    assert digests[0] == digests[1] and {kind for kind, _ in digests[0]} == {"columns", "edges", "cells"}


def test_nobody_came(tmp_path: Path) -> None:
    assert list(compare_cells(unpack(0, []), CELLS)) == []
    shard = DocumentShard(0, "web", tmp_path / "none.parquet", 3, 0, ids.first_id(1, 0))
    np.save(tmp_path / "centroids.npy", np.eye(DIM, dtype=np.float32))
    bare = CellTask(task_of(shard), tmp_path / "centroids.npy", "cpu", 2)
    assert list(emit_cells(bare)) == []
    nothing = {
        "row": pa.array([0, 1], pa.int32()),
        "doc_id": [shard.first_id, shard.first_id + 1],
        "embedding": pack_vectors(np.array([[0] * DIM, [np.nan] * DIM], np.float32)),
    }
    task = task_of(shard, committed(tmp_path / "evidence", 0, evidence=pa.table(nothing)))
    assert list(emit_cells(replace(bare, task=task))) == []
    assert sample_vectors(SampleTask(task, 1.0, 1, tmp_path / "sample")) == Sample(file=None, documents=0, picked=0)


@pytest.mark.parametrize("final", [False, True])
def test_one_document(final: bool, tmp_path: Path) -> None:
    vector = unit(np.ones((1, DIM), np.float32))
    members = pa.table(
        {
            "cell": pa.array([4], pa.int32()),
            "doc_id": [ids.first_id(1, 2)],
            "cosine": pa.array([1.0], pa.float32()),
            "vector": vectors_as_bytes(vector.astype(np.float16)),
            "final": [final],
        }
    )
    found = by_kind(list(compare_cells(inbox_of({"members": members}, Random(1)), CELLS)))
    if final:
        assert found == {}
        return
    (row,), (cell,) = found["columns"], found["cells"]
    assert (row["nearest_similarity"], row["density"], row["semantic_component"], row["semantic_size"]) == (
        None,
        None,
        None,
        1,
    )
    assert (cell["cluster_id"], cell["cluster_size"], cell["new_documents"], cell["mean_distance"]) == (4, 1, 1, 0)
    assert "edges" not in found


def test_the_sample_is_picked_by_seed_and_id(tmp_path: Path) -> None:
    known = corpus(tmp_path, 11, [(1, i) for i in range(12)])
    whole, picks = [], []
    for seed, share in ((1, 1.0), (1, 0.3), (2, 0.3)):
        tasks = [SampleTask(cells.task, share, seed, tmp_path / f"{seed}-{share}") for cells in known.tasks]
        answers = [sample_vectors(task) for task in tasks]
        assert sum(a.documents for a in answers) == len(known.doc_id)
        again = [sample_vectors(task) for task in tasks]
        assert all((a.documents, a.picked) == (b.documents, b.picked) for a, b in zip(answers, again, strict=True))
        assert not {a.file for a in answers if a.file} & {a.file for a in again}, "a name of its own"
        rows = np.concatenate([np.load(a.file) for a in answers if a.file])
        (whole if share == 1 else picks).append(rows)
    np.testing.assert_allclose(whole[0], known.vectors, atol=1e-6)
    for rows in picks:
        assert 0.15 * len(whole[0]) < len(rows) < 0.45 * len(whole[0])
        assert {row.tobytes() for row in rows} <= {row.tobytes() for row in whole[0]}
    assert picks[0].tobytes() != picks[1].tobytes()
