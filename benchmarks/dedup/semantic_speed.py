"""Assignment to cells and comparison within them: through Spark, in one process, by plain FAISS, by brute force.

    python -m benchmarks.dedup.semantic_speed [--vectors 10000 100000 1000000] [--dim 64] [--cell 1000] [--work FOLDER]

The vectors (`benchmarks.corpora.clustered_vectors`) lie on disk as stage `embed` leaves them, in shards of 50,000.

- *Spark*: the exchange of stage `semantic_clusters` from those files to its columns, edges and cells on disk, two tasks
  at a time, done twice, as the first time its Python workers start. The ratio to FAISS is of the second time.
- *one process*: the kernels of the stage without Spark, from the same files.
- *FAISS*: the arithmetic alone, on vectors in memory: an `IndexFlatIP` over the centroids, then one for each cell,
  searched for nine neighbours, on as many threads as Spark has tasks.
- *brute force*: one index over everything, nine neighbours of 2,000 vectors, times n / 2,000.
- *pairs found*: the share of brute force's pairs at or above the threshold that lie in one cell.

Times are wall time.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.corpora.clustered_vectors import clustered_vectors
from benchmarks.tools import machine
from benchmarks.tools.command_line import command_line, require
from benchmarks.tools.pipeline_run import local_cluster
from benchmarks.tools.report import table_head
from benchmarks.tools.timing import timed
from corpus import ids
from corpus.files import commit, write_table
from corpus.run_folder import DocumentShard
from corpus.schemas import SEMANTIC_CELLS, SEMANTIC_COLUMNS, SEMANTIC_EDGES
from dedup.cells import NEIGHBOURS, compare
from dedup.clusters import Assigner, open_backend, train_centroids
from dedup.vectors import pack_vectors, unit, unpack_vectors
from pipelines.spark.exchange import Hop, partitions_for
from pipelines.spark.session import Cluster
from pipelines.spark.shard_files import ShardFiles, write_by_shard
from pipelines.stages.semantic_clusters.tasks import Cells, CellTask, compare_cells, emit_cells
from pipelines.stages.shard_task import ShardTask

NEEDS = ("faiss",)

THRESHOLD = 0.97
SHARD = 50_000
CORES = 2
Float32 = npt.NDArray[np.float32]


def main() -> None:
    """Prints one row for each size."""
    parser = command_line(__doc__, NEEDS, work="tamis-semantic-speed")
    parser.add_argument("--vectors", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--cell", type=int, default=1000)
    options = parser.parse_args()
    require(NEEDS, options)
    print(machine.as_line(machine.describe()), "\n")
    heads = "vectors | cells | training, s | FAISS: assign + compare, s | one process, s | Spark: first, again, s | "
    print(table_head(heads + "FAISS / Spark | brute force, s | pairs found"))
    with local_cluster(CORES) as cluster:
        warm = clustered_vectors(2000, options.dim, options.cell)
        through_spark(cluster, warm, centroids_of(warm, options.cell)[0], options.work)
        for n in options.vectors:
            print(measured(cluster, clustered_vectors(n, options.dim, options.cell), options), flush=True)


def measured(cluster: Cluster, vectors: Float32, options: argparse.Namespace) -> str:
    """The row of one size."""
    n = len(vectors)
    centroids, training = centroids_of(vectors, options.cell)
    assign, search = plain_faiss(vectors, centroids)
    first, _ = through_spark(cluster, vectors, centroids, options.work)
    spark, edges = through_spark(cluster, vectors, centroids, options.work)
    alone = in_one_process(options.work, len(centroids))
    brute, pairs = brute_force(vectors)
    found = sum(pair in edges for pair in pairs) / max(1, len(pairs))
    return (
        f"| {n:,} | {len(centroids):,} | {training:.1f} | {assign:.2f} + {search:.2f} | {alone:.1f} | "
        f"{first:.1f}, {spark:.1f} | "
        f"{(assign + search) / spark:.2f} | {brute:,.0f} | {found:.3f} of {len(pairs):,} |"
    )


def centroids_of(vectors: Float32, cell: int) -> tuple[Float32, float]:
    """Centroids as the stage trains them, and seconds."""
    cells = max(1, -(-len(vectors) // cell))
    sample = vectors[np.random.default_rng(1).random(len(vectors)) < 256 * cells / len(vectors)]
    backend = open_backend("cpu", CORES)
    return timed(lambda: train_centroids(sample, cells, 1, backend))  # type: ignore[return-value]


def plain_faiss(vectors: Float32, centroids: Float32) -> tuple[float, float]:
    """Seconds to assign, and seconds to search each cell for the neighbours of its members."""
    import faiss

    faiss.omp_set_num_threads(CORES)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(centroids)
    (_, cell), assign = timed(lambda: index.search(vectors, 1))
    order = np.argsort(cell[:, 0], kind="stable")
    bounds = np.concatenate(([0], np.cumsum(np.bincount(cell[:, 0], minlength=len(centroids)))))
    moved = vectors[order]

    def search() -> None:
        for low, high in zip(bounds[:-1], bounds[1:], strict=True):
            if high > low:
                own = faiss.IndexFlatIP(vectors.shape[1])
                own.add(moved[low:high])
                own.search(moved[low:high], NEIGHBOURS + 1)

    return assign, timed(search)[1]


def through_spark(
    cluster: Cluster, vectors: Float32, centroids: Float32, work: Path
) -> tuple[float, set[tuple[int, int]]]:
    """Seconds of the stage's exchange, and its edges as pairs of rows."""
    shutil.rmtree(work, ignore_errors=True)
    (work / "out").mkdir(parents=True)
    np.save(centroids_file(work, len(centroids)), centroids)  # workers keep what they have opened
    tasks = tasks_of(vectors, work, len(centroids))
    partitions = tasks[0].partitions
    hop = Hop(compare_cells, partitions, Cells(THRESHOLD, 20_000, 1, "cpu", CORES))
    schemas = {"columns": SEMANTIC_COLUMNS, "edges": SEMANTIC_EDGES, "cells": SEMANTIC_CELLS}
    last = Hop(write_by_shard, CORES, ShardFiles(work / "out", schemas))
    _, seconds = timed(lambda: cluster.exchange(emit_cells, tasks, [hop], last, label="semantic_speed"))
    tables = [pq.read_table(p, partitioning=None) for p in (work / "out").glob("edges-*.parquet")]
    edges = pa.concat_tables(tables) if tables else SEMANTIC_EDGES.empty_table()
    first, second = (np.array([_place(i) for i in edges.column(c).to_pylist()]) for c in ("doc_id", "other"))
    return seconds, set(zip(first.tolist(), second.tolist(), strict=True))


def _place(doc_id: int) -> int:
    return ids.shard_of(doc_id) * SHARD + ids.row_of(doc_id)


def centroids_file(work: Path, cells: int) -> Path:
    """The file of so many centroids."""
    return work / f"centroids-{cells}.npy"


def tasks_of(vectors: Float32, work: Path, cells: int) -> list[CellTask]:
    """The vectors on disk, and a task a shard of them."""
    partitions = partitions_for(len(vectors), 4 * vectors.shape[1] + 24, CORES)
    shards, files = [], []
    for number, start in enumerate(range(0, len(vectors), SHARD)):
        part = vectors[start : start + SHARD]
        first = ids.first_id(0, number)
        columns = {"row": np.arange(len(part), dtype=np.int32), "doc_id": first + np.arange(len(part))}
        table = pa.table({**columns, "embedding": pack_vectors(part)})
        files.append(write_table(work / "vectors", f"{number:05d}", table, kind="evidence", shard=number))
        shards.append(DocumentShard(number, "web", work / "none.parquet", len(part), 0, first))
    evidence = commit(work / "vectors", {}, files).ref
    centroids = centroids_file(work, cells)
    return [CellTask(ShardTask(shard, (), evidence), centroids, "cpu", partitions) for shard in shards]


def in_one_process(work: Path, cells: int) -> float:
    """Seconds of the same kernels in one thread: read the files, assign, compare."""
    assigner = Assigner(np.load(centroids_file(work, cells)), open_backend("cpu", CORES))

    def all_of_it() -> None:
        tables = [
            pq.read_table(p, columns=["embedding"], partitioning=None)
            for p in sorted((work / "vectors").glob("*.parquet"))
        ]
        vectors = unit(unpack_vectors(pa.concat_tables(tables).column("embedding")).astype(np.float32))
        cell = assigner(vectors).cell
        order = np.argsort(cell, kind="stable")
        bounds = np.concatenate(([0], np.cumsum(np.bincount(cell, minlength=cells)))).astype(np.int64)
        compare(vectors[order], bounds, THRESHOLD)

    return timed(all_of_it)[1]


def brute_force(vectors: Float32) -> tuple[float, list[tuple[int, int]]]:
    """Seconds that one index over everything would take, and the pairs at or above the threshold of 2,000 vectors."""
    import faiss

    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    asked = np.sort(np.random.default_rng(2).choice(len(vectors), min(2000, len(vectors)), replace=False))
    (cosine, near), seconds = timed(lambda: index.search(vectors[asked], NEIGHBOURS + 1))
    pairs = {
        (min(i, j), max(i, j))
        for i, row, scores in zip(asked.tolist(), near.tolist(), cosine.tolist(), strict=True)
        for j, score in zip(row, scores, strict=True)
        if j != i and score >= THRESHOLD
    }
    return seconds * len(vectors) / len(asked), sorted(pairs)


if __name__ == "__main__":
    main()
