"""Collects the numbers of the HTML report from a run folder: narrow columns only, never a text.

Cost: a few integer columns of every published and document shard, one shard at a time; histograms are summed as they
come, so that memory does not grow with the corpus.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from cli.inspect.contamination import benchmark_lines
from cli.inspect.removal import read_removal
from cli.report.cells import collect_cells
from cli.training.data import Training, read_training
from corpus.files import load_manifest
from corpus.reading.run_reader import read_ledger, weights_folder
from corpus.run_folder import RunFolder

QUALITY_BINS = 40
WEIGHT_BINS = 40
NO_SOURCE = "(no source)"


@dataclass
class Numbers:
    """What the report shows.

    Attributes:
        ledger: ``ledger.json``.
        info: ``run.json``.
        removal: ``removal.json``, None where it was never counted.
        published: whether published shards were found.
        languages: language → bytes kept; identified, else as the record says.
        sources: source → [documents in, kept, bytes in, kept].
        quality: domain → int64[QUALITY_BINS], documents kept by quality in 0..1.
        unscored: documents kept that no model has scored.
        frequency: copies that a kept document stands for → documents.
        weights: domain → (weights seen → documents), weights rounded to two digits.
        curves: domain → the settings of the curves that made its weights.
        components: component size → components of near copies.
        cells: cell size → cells of ``semantic_clusters``.
        semantic: its facts, None where the run has none.
        map: float32[n, 2], a sample of the embeddings on their two principal directions.
        map_domains: the domain of each.
        map_cells: the cell of each.
        benchmarks: a line for each benchmark that was looked for, see ``cli.inspect.contamination``.
        evaluations: model folder → ``evaluation.json``.
        training: the trainings that have taken a step, in name order.
        quarantined_by_file: [file, records, quarantined] of the files with most quarantined records.
    """

    ledger: dict[str, Any]
    info: dict[str, Any]
    removal: dict[str, Any] | None = None
    published: bool = False
    languages: Counter[str] = field(default_factory=Counter)
    sources: dict[str, npt.NDArray[np.int64]] = field(default_factory=dict)
    quality: dict[str, npt.NDArray[np.int64]] = field(default_factory=dict)
    unscored: int = 0
    frequency: Counter[int] = field(default_factory=Counter)
    weights: dict[str, Counter[float]] = field(default_factory=dict)
    curves: dict[str, dict[str, Any]] = field(default_factory=dict)
    components: Counter[int] = field(default_factory=Counter)
    cells: Counter[int] = field(default_factory=Counter)
    semantic: dict[str, Any] | None = None
    map: npt.NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 2), np.float32))
    map_domains: list[str] = field(default_factory=list)
    map_cells: list[int] = field(default_factory=list)
    benchmarks: list[dict[str, Any]] = field(default_factory=list)
    evaluations: dict[str, dict[str, Any]] = field(default_factory=dict)
    training: list[Training] = field(default_factory=list)
    quarantined_by_file: list[tuple[str, int, int]] = field(default_factory=list)


def collect(run: RunFolder) -> Numbers:
    """Reads everything that the report shows.

    Raises:
        TamisError: the run has no ledger yet.
    """
    numbers = Numbers(read_ledger(run), run.run_info(), read_removal(run))
    for shard in run.shards:
        _count_sources(numbers, shard.read(["source", "bytes"]), 0)
    _published(run, numbers)
    _components(run, numbers)
    collect_cells(run, numbers)
    numbers.benchmarks = benchmark_lines(run)
    _models(run.root, numbers)
    _training(run.root, numbers)
    files = ((line["name"], line["records"], sum(line["quarantined"].values())) for line in run.ingest.body["inputs"])
    numbers.quarantined_by_file = sorted((f for f in files if f[2]), key=lambda f: (-f[2], f[0]))[:15]
    return numbers


def _count_sources(numbers: Numbers, table: pa.Table, at: int) -> None:
    """Adds documents and bytes by source; ``at`` is 0 for what came in, 1 for what is kept."""
    grouped = pa.table({"source": table.column("source").fill_null(NO_SOURCE), "bytes": table.column("bytes")})
    for row in grouped.group_by("source").aggregate([("bytes", "count"), ("bytes", "sum")]).to_pylist():
        line = numbers.sources.setdefault(row["source"], np.zeros(4, np.int64))
        line[at] += row["bytes_count"]
        line[2 + at] += row["bytes_sum"]


def _published(run: RunFolder, numbers: Numbers) -> None:
    manifest = load_manifest(run.root / "shards")
    if manifest is None:
        return
    numbers.published = True
    folder = weights_folder(run)
    weighing = None if folder is None else load_manifest(folder)
    config = {} if weighing is None else weighing.body.get("config", {})
    for entry in manifest.files:
        if config:
            domain = str(entry.info["domain"])
            numbers.curves[domain] = config["domains"].get(domain, config["default"])
        columns = ["source", "bytes", "language", "lang", "quality", "frequency"]
        table = pq.read_table(manifest.folder / entry.path, columns=columns, partitioning=None)
        _count_sources(numbers, table, 1)
        _count_languages(numbers, table)
        _count_scores(numbers, table, str(entry.info["domain"]))
        if folder is not None and (folder / entry.path).exists():
            weights = (
                pq.read_table(folder / entry.path, columns=["weight"], partitioning=None).column("weight").to_numpy()
            )
            values, counts = np.unique(np.round(weights.astype(np.float64), 2), return_counts=True)
            seen = numbers.weights.setdefault(str(entry.info["domain"]), Counter())
            seen.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))


def _count_languages(numbers: Numbers, table: pa.Table) -> None:
    import pyarrow.compute as pc

    language = pc.coalesce(table.column("language"), table.column("lang"), pa.scalar("unknown"))
    grouped = pa.table({"language": language, "bytes": table.column("bytes")}).group_by("language")
    for row in grouped.aggregate([("bytes", "sum")]).to_pylist():
        numbers.languages[row["language"]] += row["bytes_sum"]


def _count_scores(numbers: Numbers, table: pa.Table, domain: str) -> None:
    quality = table.column("quality").drop_null().to_numpy()
    numbers.unscored += table.num_rows - len(quality)
    if len(quality):
        counts = np.histogram(quality, QUALITY_BINS, (0.0, 1.0))[0].astype(np.int64)
        numbers.quality[domain] = numbers.quality.get(domain, np.zeros(QUALITY_BINS, np.int64)) + counts
    values, counts = np.unique(table.column("frequency").fill_null(1).to_numpy(), return_counts=True)
    numbers.frequency.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))


def _components(run: RunFolder, numbers: Numbers) -> None:
    """Each member knows its component's size: a size that n members name belongs to n / size components."""
    members: Counter[int] = Counter()
    for path in dict(run.chain())["near_dedup"].paths("columns") if "near_dedup" in dict(run.chain()) else []:
        sizes, counts = np.unique(
            pq.read_table(path, columns=["component_size"], partitioning=None)[0].to_numpy(), return_counts=True
        )
        members.update(dict(zip(sizes.tolist(), counts.tolist(), strict=True)))
    numbers.components = Counter({size: count // size for size, count in members.items() if size > 1})


def _models(root: Path, numbers: Numbers) -> None:
    for path in sorted((root / "models" / "sentence_quality").glob("*/evaluation.json")):
        numbers.evaluations[path.parent.name] = json.loads(path.read_text("utf-8"))


def _training(root: Path, numbers: Numbers) -> None:
    for path in sorted((root / "train").glob("*/metrics.jsonl")):
        training = read_training(path.parent)
        if training.rows:
            numbers.training.append(training)
