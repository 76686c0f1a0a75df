"""Reads the cells of `semantic_clusters` for the report: their sizes, and a map of a sample of the embeddings.

The map lays the sample on its two principal directions. It shows what lies beside what, roughly: two of many dimensions
hold the share of the variance that the caption names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from cli.report.numbers import Numbers
    from corpus.run_folder import RunFolder

MAP_POINTS = 3000
MAP_SEED = 20231
Vectors = npt.NDArray[np.float32]


def collect_cells(run: RunFolder, numbers: Numbers) -> None:
    """Reads sizes, facts and a sample of the vectors; nothing where the run has no cells."""
    manifest = dict(run.chain()).get("semantic_clusters")
    evidence = run.evidence("embed")
    if manifest is None or evidence is None:
        return
    numbers.semantic = manifest.body["facts"]
    near = dict(run.chain()).get("near_dedup")
    if near is not None:
        numbers.semantic = {
            **numbers.semantic,
            "without_agreement": near.body["facts"].get("edges_without_agreement", 0),
        }
    for path in manifest.paths("cells"):
        sizes = pq.read_table(path, columns=["cluster_size"], partitioning=None).column(0).to_pylist()
        numbers.cells.update(sizes)
    documents = sum(f.rows for f in evidence.files if f.table == "evidence")
    vectors: list[Vectors] = []
    for shard in run.shards:
        columns = manifest.read("columns", shard.number, ["doc_id", "cluster_id"])
        if columns is None:
            continue
        picked = _picked(columns, MAP_POINTS / max(1, documents))
        found = evidence.read("evidence", shard.number, ["doc_id", "embedding"])
        if found is None or not picked.num_rows:
            continue
        vectors.append(_vectors(found, picked))
        numbers.map_domains += [shard.domain] * picked.num_rows
        numbers.map_cells += picked.column("cluster_id").to_pylist()
    if vectors:
        numbers.map, held = principal(np.concatenate(vectors))
        numbers.semantic = {**numbers.semantic, "map_variance": held}


def _picked(columns: pa.Table, share: float) -> pa.Table:
    from text.hash import uniform

    return columns.filter(pa.array(uniform(MAP_SEED, columns.column("doc_id").to_numpy()) < share))


def _vectors(found: pa.Table, picked: pa.Table) -> Vectors:
    """The embeddings of the documents that were picked, float32[n, dimensions]."""
    at = np.searchsorted(found.column("doc_id").to_numpy(), picked.column("doc_id").to_numpy())
    column: Any = found.column("embedding").take(pa.array(at)).combine_chunks()
    column = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
    return column.flatten().to_numpy(zero_copy_only=False).astype(np.float32).reshape(-1, column.type.list_size)


def principal(vectors: Vectors) -> tuple[Vectors, float]:
    """Vectors on their two principal directions, float32[n, 2], and the share of the variance that these hold."""
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    values, directions = np.linalg.eigh(centred.T @ centred)
    two = directions[:, ::-1][:, :2]
    two = two * np.where(np.abs(two).max(axis=0) == two.max(axis=0), 1.0, -1.0)  # eigenvectors have no sign: fix one
    held = float(values[-2:].sum() / values.sum()) if values.sum() > 0 else 0.0
    return (centred @ two).astype(np.float32), held
