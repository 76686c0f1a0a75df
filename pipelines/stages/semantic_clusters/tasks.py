"""The tasks of `semantic_clusters`: they draw vectors, assign documents to cells, compare the documents of a cell."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dedup.cells import compare, divide_giants
from dedup.clusters import Assigner, Backend, open_backend
from dedup.vectors import Float32, unit, unpack_vectors, usable, vectors_as_bytes, vectors_from_bytes
from pipelines.spark.blocks import Block, Inbox, by_id, by_shard, split
from pipelines.stages.shard_task import Int64, ShardTask
from text.hash import uniform

MEMBERS_AT_ONCE = 65_536


def _active_vectors(task: ShardTask) -> tuple[Int64, Float32] | None:
    """Ids and unit vectors of the documents of a shard that the stage handles; None where nothing was embedded."""
    evidence = task.read_evidence(["row", "doc_id", "embedding"])
    if evidence is None:
        return None
    vectors = unpack_vectors(evidence.column("embedding")).astype(np.float32)
    keep = task.is_active(task.state())[evidence.column("row").to_numpy()] & usable(vectors)
    return evidence.column("doc_id").to_numpy()[keep], unit(vectors[keep])


@dataclass(frozen=True)
class SampleTask:
    """A document shard of whose vectors a share is drawn, into a folder."""

    task: ShardTask
    share: float
    seed: int
    folder: Path


@dataclass(frozen=True)
class Sample:
    """Vectors drawn from a shard, float32[picked, dim] as .npy, None where no document has one; and how many do."""

    file: Path | None = None
    documents: int = 0
    picked: int = 0


def sample_vectors(job: SampleTask) -> Sample:
    """Task: draws vectors of a shard by a hash of seed and id."""
    found = _active_vectors(job.task)
    if found is None or not len(found[0]):
        return Sample()
    ids, vectors = found
    picked = uniform(job.seed, ids) < job.share
    job.folder.mkdir(parents=True, exist_ok=True)
    attempt = uuid.uuid4().hex[:12]  # a name that no other attempt has
    path = job.folder / f"{job.task.shard.number:06d}.{attempt}.npy"
    np.save(path, vectors[picked])
    return Sample(path, len(ids), int(picked.sum()))


@dataclass(frozen=True)
class CellTask:
    """A document shard whose documents are assigned to cells; the centroids are float32[cells, dim] as .npy."""

    task: ShardTask
    centroids: Path
    device: str
    partitions: int


@dataclass(frozen=True)
class Cells:
    """How the documents of a cell are compared, and the partitions of the hop that writes.

    Two of that cosine mean the same. A cell of more than `max_documents` different vectors is divided, by `seed`.
    """

    threshold: float
    max_documents: int
    seed: int
    device: str
    writers: int


@lru_cache(maxsize=1)
def _assigner(centroids: Path, device: str) -> Assigner:
    return Assigner(np.load(centroids), _backend(device))


@lru_cache(maxsize=2)
def _backend(device: str) -> Backend:
    return open_backend(device, threads=1)


def emit_cells(job: CellTask) -> Iterator[Block]:
    """Source: the documents of a shard with their vectors, by cell."""
    found = _active_vectors(job.task)
    if found is None or not len(found[0]):
        return
    ids, vectors = found
    halves = vectors.astype(np.float16)
    assigned = _assigner(job.centroids, job.device)(vectors)
    placed = np.flatnonzero(assigned.cell >= 0)
    for start in range(0, len(placed), MEMBERS_AT_ONCE):
        part = placed[start : start + MEMBERS_AT_ONCE]
        cell = assigned.cell[part]
        columns = {
            "cell": cell,
            "doc_id": ids[part],
            "cosine": assigned.cosine[part],
            "vector": vectors_as_bytes(halves[part]),
            "final": np.full(len(cell), job.task.earlier),
        }
        yield from split("members", columns, by_id(cell.astype(np.int64), job.partitions))


def compare_cells(inbox: Inbox, cells: Cells) -> Iterator[Block]:
    """Hop: whole cells → columns of documents, semantic edges and a row a cell, by shard."""
    table = inbox.table("members")
    if table is None:
        return
    vectors = vectors_from_bytes(table.column("vector")).astype(np.float32)
    cell, doc_id = table.column("cell").to_numpy(), table.column("doc_id").to_numpy()
    cosine, final = table.column("cosine").to_numpy(), table.column("final").to_numpy()
    order = np.lexsort((doc_id, cell))
    cell, doc_id, cosine, final, vectors = cell[order], doc_id[order], cosine[order], final[order], unit(vectors[order])
    ptr = _bounds(cell)
    backend = _backend(cells.device)
    order, parts, divided = divide_giants(vectors, ptr, cells.max_documents, cells.seed, backend)
    cell, doc_id, cosine, final, vectors = cell[order], doc_id[order], cosine[order], final[order], vectors[order]
    found = compare(vectors, parts, cells.threshold)
    ptr = _bounds(cell)
    sizes = np.diff(ptr).astype(np.int32)
    which = np.repeat(np.arange(len(sizes)), sizes)
    component, component_size = _components(found.component, doc_id)
    distance = np.maximum(np.float32(0), np.round(1 - cosine, 4)).astype(np.float32)
    new = ~final
    columns = {
        "doc_id": doc_id[new],
        "cluster_id": cell[new],
        "cluster_size": sizes[which][new],
        "centroid_distance": distance[new],
        "density": pa.array(found.density[new], from_pandas=True),
        "nearest_similarity": pa.array(found.nearest[new], from_pandas=True),
        "semantic_component": pa.array(component[new], mask=component_size[new] < 2),
        "semantic_size": component_size[new],
    }
    yield from split("columns", columns, by_shard(doc_id[new], cells.writers))
    yield from _edges(found, doc_id, final, cells.writers)
    capped = np.add.reduceat(found.capped, ptr[:-1], dtype=np.int32)
    yield from _cells(ptr, cell, doc_id, distance, new, capped, divided.astype(np.int32), cells.writers)


def _bounds(cell: npt.NDArray[np.int32]) -> Int64:
    """Where each run of equal cells begins, and the end: int64[n_cells + 1]."""
    return np.concatenate(([0], np.flatnonzero(np.diff(cell)) + 1, [len(cell)])).astype(np.int64)


def _components(first: Int64, doc_id: Int64) -> tuple[Int64, npt.NDArray[np.int32]]:
    """For each member the least id of its semantic component, and how many members that has."""
    names, inverse = np.unique(first, return_inverse=True)
    least = np.full(len(names), np.iinfo(np.int64).max)
    np.minimum.at(least, inverse, doc_id)
    return least[inverse], np.bincount(inverse, minlength=len(names)).astype(np.int32)[inverse]


def _edges(found: Any, doc_id: Int64, final: npt.NDArray[np.bool_], writers: int) -> Iterator[Block]:
    """Each edge with the shard of its lesser id, or of the new document if the other is published.

    Edges between two published documents are left out.
    """
    left, right = found.left, found.right
    swap = np.where(final[left] == final[right], doc_id[left] > doc_id[right], final[left])
    new = ~(final[left] & final[right])
    a, b = np.where(swap, right, left)[new], np.where(swap, left, right)[new]
    columns = {"doc_id": doc_id[a], "other": doc_id[b], "similarity": np.round(found.cosine[new], 6)}
    yield from split("edges", columns, by_shard(doc_id[a], writers))


def _cells(
    ptr: Int64,
    cell: npt.NDArray[np.int32],
    doc_id: Int64,
    distance: Float32,
    new: npt.NDArray[np.bool_],
    capped: npt.NDArray[np.int32],
    divided: npt.NDArray[np.int32],
    writers: int,
) -> Iterator[Block]:
    """A row for each cell that has new documents, in the shard of the one nearest to the centroid."""
    which = np.repeat(np.arange(len(ptr) - 1), np.diff(ptr))[new]
    if not len(which):
        return
    ids, far = doc_id[new], distance[new]
    order = np.lexsort((ids, far, which))
    lead = order[np.flatnonzero(np.diff(which[order], prepend=-1))]
    cells = which[lead]
    counts = np.bincount(which, minlength=len(ptr) - 1)
    mean = np.bincount(which, far.astype(np.float64), minlength=len(ptr) - 1) / np.maximum(counts, 1)
    columns = {
        "doc_id": ids[lead],
        "cluster_id": cell[ptr[:-1]][cells],
        "cluster_size": np.diff(ptr)[cells].astype(np.int32),
        "new_documents": counts[cells].astype(np.int32),
        "mean_distance": np.round(mean[cells], 4).astype(np.float32),
        "divided": divided[cells],
        "capped": capped[cells],
    }
    yield from split("cells", columns, by_shard(ids[lead], writers))
