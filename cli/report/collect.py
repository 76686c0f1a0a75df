"""Collects the numbers of the HTML report from a run folder: narrow columns only, never a text.

Cost: a few integer columns of every published and document shard, one shard at a time; histograms are summed as they
come, so that memory does not grow with the corpus.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cli.inspect.contamination import benchmark_lines
from cli.report.cell_map import collect_cells
from cli.report.grouped import grouped, language_of
from cli.report.numbers import QUALITY_BINS, Numbers
from cli.training.data import read_training
from corpus.files import load_manifest, read_json
from corpus.reading.run_reader import weights_folder
from corpus.run_folder import RunFolder

NO_SOURCE = "(no source)"


def collect(run: RunFolder) -> Numbers:
    """Reads everything that the report shows.

    Raises:
        TamisError: the run has no ledger yet.
    """
    numbers = Numbers(run.ledger(), run.run_info(), run.removal())
    for shard in run.shards:
        _count_sources(numbers, shard.read(["source", "bytes"]), 0)
    _published(run, numbers)
    _components(run, numbers)
    collect_cells(run, numbers)
    numbers.benchmarks = benchmark_lines(run)
    models = sorted((run.root / "models" / "sentence_quality").glob("*/evaluation.json"))
    numbers.evaluations = {path.parent.name: read_json(path) for path in models}
    trainings = (read_training(path.parent) for path in sorted((run.root / "train").glob("*/metrics.jsonl")))
    numbers.training = [training for training in trainings if training.rows]
    files = ((line["name"], line["records"], sum(line["quarantined"].values())) for line in run.ingest.body["inputs"])
    numbers.quarantined_by_file = sorted((f for f in files if f[2]), key=lambda f: (-f[2], f[0]))[:15]
    return numbers


def _count_sources(numbers: Numbers, table: pa.Table, at: int) -> None:
    """Adds documents and bytes by source; `at` is 0 for what came in, 1 for what is kept."""
    for (source,), documents, size in grouped(table, [table.column("source")], NO_SOURCE):
        line = numbers.sources.setdefault(source, np.zeros(4, np.int64))
        line[at] += documents
        line[2 + at] += size


def _published(run: RunFolder, numbers: Numbers) -> None:
    manifest = load_manifest(run.root / "shards")
    if manifest is None:
        return
    numbers.published = True
    folder = weights_folder(run)
    weighing = None if folder is None else load_manifest(folder)
    config = {} if weighing is None else weighing.body.get("config", {})
    for entry in manifest.files:
        domain = str(entry.info["domain"])
        if config:
            numbers.curves[domain] = config["domains"].get(domain, config["default"])
        columns = ["source", "bytes", "language", "lang", "quality", "frequency"]
        table = pq.read_table(manifest.folder / entry.path, columns=columns, partitioning=None)
        _count_sources(numbers, table, 1)
        for (language,), _, size in grouped(table, [language_of(table)]):
            numbers.languages[language] += size
        _count_scores(numbers, table, domain)
        if folder is not None and (folder / entry.path).exists():
            _count_weights(numbers, folder / entry.path, domain)


def _count_scores(numbers: Numbers, table: pa.Table, domain: str) -> None:
    quality = table.column("quality").drop_null().to_numpy()
    numbers.unscored += table.num_rows - len(quality)
    if len(quality):
        counts = np.histogram(quality, QUALITY_BINS, (0.0, 1.0))[0].astype(np.int64)
        numbers.quality[domain] = numbers.quality.get(domain, np.zeros(QUALITY_BINS, np.int64)) + counts
    values, counts = np.unique(table.column("frequency").fill_null(1).to_numpy(), return_counts=True)
    numbers.frequency.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))


def _count_weights(numbers: Numbers, path: Path, domain: str) -> None:
    weights = pq.read_table(path, columns=["weight"], partitioning=None).column("weight").to_numpy()
    values, counts = np.unique(np.round(weights.astype(np.float64), 2), return_counts=True)
    seen = numbers.weights.setdefault(domain, Counter())
    seen.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))


def _components(run: RunFolder, numbers: Numbers) -> None:
    """Counts components by size: each member carries its component's size, so n members are n / size components."""
    members: Counter[int] = Counter()
    for path in dict(run.chain())["near_dedup"].paths("columns") if "near_dedup" in dict(run.chain()) else []:
        column = pq.read_table(path, columns=["component_size"], partitioning=None)[0]
        sizes, counts = np.unique(column.to_numpy(), return_counts=True)
        members.update(dict(zip(sizes.tolist(), counts.tolist(), strict=True)))
    numbers.components = Counter({size: count // size for size, count in members.items() if size > 1})
