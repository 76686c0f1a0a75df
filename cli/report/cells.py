"""The report's part about embeddings: how large the cells are, and a map of a sample.

The map lays the sample on its two principal directions. It shows what lies beside what, roughly: two of many dimensions
hold the share of the variance that the caption names.
"""

from __future__ import annotations

from collections import Counter
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from cli.pages.page import Page
    from cli.report.data import Numbers
    from corpus.run_folder import RunFolder

MAP_POINTS = 3000
MAP_SEED = 20231


def collect_cells(run: RunFolder, numbers: Numbers) -> None:
    """Reads sizes, facts and a sample of the vectors; nothing where the run has no cells."""
    manifest = dict(run.chain()).get("semantic_clusters")
    evidence = run.evidence("embed")
    if manifest is None or evidence is None:
        return
    numbers.semantic = manifest.body["facts"]
    for path in manifest.paths("cells"):
        sizes = pq.read_table(path, columns=["cluster_size"], partitioning=None).column(0).to_pylist()
        numbers.cells.update(sizes)
    documents = sum(f.rows for f in evidence.files if f.table == "evidence")
    vectors: list[Any] = []
    for shard in run.shards:
        columns = manifest.read("columns", shard.number, ["doc_id", "cluster_id"])
        if columns is None:
            continue
        picked = _picked(columns, MAP_POINTS / max(1, documents))
        found = evidence.read("evidence", shard.number, ["doc_id", "embedding"])
        if found is None or not picked.num_rows:
            continue
        at = np.searchsorted(found.column("doc_id").to_numpy(), picked.column("doc_id").to_numpy())
        column = found.column("embedding").take(pa.array(at)).combine_chunks()
        column = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
        width = column.type.list_size
        vectors.append(column.flatten().to_numpy(zero_copy_only=False).astype(np.float32).reshape(-1, width))
        numbers.map_domains += [shard.domain] * picked.num_rows
        numbers.map_cells += picked.column("cluster_id").to_pylist()
    if vectors:
        numbers.map, held = principal(np.concatenate(vectors))
        numbers.semantic = {**numbers.semantic, "map_variance": held}


def _picked(columns: pa.Table, share: float) -> pa.Table:
    from text.hash import uniform

    return columns.filter(pa.array(uniform(MAP_SEED, columns.column("doc_id").to_numpy()) < share))


def principal(vectors: np.ndarray[Any, np.dtype[np.float32]]) -> tuple[np.ndarray[Any, np.dtype[np.float32]], float]:
    """Vectors on their two principal directions, float32[n, 2], and the share of the variance that these hold."""
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    values, directions = np.linalg.eigh(centred.T @ centred)
    two = directions[:, ::-1][:, :2]
    two = two * np.where(np.abs(two).max(axis=0) == two.max(axis=0), 1.0, -1.0)  # a sign that does not hang on chance
    held = float(values[-2:].sum() / values.sum()) if values.sum() > 0 else 0.0
    return (centred @ two).astype(np.float32), held


def add_cells(page: Page, numbers: Numbers) -> None:
    """The section; nothing where the run has no cells."""
    from cli.pages.page import table
    from cli.report.charts import PALETTE, counts, figure

    facts = numbers.semantic
    if facts is None or not numbers.cells:
        return
    note = (
        f"{facts['cells']:,} cells of {facts['documents']:,} documents; {facts['edges']:,} pairs within a cell mean "
        f"the same, from a cosine of {facts['threshold']} on."
    )
    rows = [
        ("mean distance to the centroid", f"{facts['distance']['mean']:.3f}"),
        ("99 % of documents lie within", f"{facts['distance']['p99']:.3f}"),
    ]
    if facts.get("drift"):
        drift = facts["drift"]
        rows += [
            ("mean distance in the snapshot before", f"{drift['mean_before']:.3f}"),
            ("beyond its 99th percentile now", f"{100 * drift['share_beyond_p99']:.2f} %"),
        ]
    parts = [page.chart(counts(numbers.cells, "documents in the cell", "cells")), table(("distance", ""), rows)]
    if len(numbers.map):
        traces = []
        for i, domain in enumerate(sorted(Counter(numbers.map_domains))):
            mine = [k for k, d in enumerate(numbers.map_domains) if d == domain]
            traces.append(
                {
                    "type": "scattergl",
                    "mode": "markers",
                    "name": escape(domain),
                    "x": numbers.map[mine, 0].round(4).tolist(),
                    "y": numbers.map[mine, 1].round(4).tolist(),
                    "customdata": [numbers.map_cells[k] for k in mine],
                    "marker": {"size": 4, "color": PALETTE[i % len(PALETTE)]},
                    "hovertemplate": f"{escape(domain)}, cell %{{customdata}}<extra></extra>",
                }
            )
        parts += [
            f"<h3>A map of {len(numbers.map):,} documents</h3><p class='note'>Their embeddings on the two principal "
            f"directions, which hold {100 * facts['map_variance']:.0f} % of the variance.</p>",
            page.chart(figure(traces, 520, x={"showticklabels": False}, y={"showticklabels": False})),
        ]
    page.section("Meaning", note, *parts)
