"""What the HTML report shows, as numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from cli.training.data import Training

QUALITY_BINS = 40


@dataclass
class Numbers:
    """What the report shows.

    Attributes:
        removal: None where it was never counted.
        published: whether published shards were found.
        languages: language → bytes kept; identified, else as the record says.
        sources: source → [documents in, kept, bytes in, kept].
        quality: domain → int64[QUALITY_BINS], documents kept by quality in 0..1.
        unscored: documents kept that no model has scored.
        frequency: copies that a kept document stands for → documents.
        weights: domain → (weights seen → documents), weights rounded to two digits.
        curves: domain → the settings of the curves that made its weights.
        components: component size → components of near copies.
        cells: cell size → cells of `semantic_clusters`; its facts are `semantic`, None where the run has none.
        map: float32[n, 2], a sample of the embeddings on their principal directions; domain and cell of each follow.
        benchmarks: a line for each benchmark that was looked for, see `cli.inspect.contamination`.
        evaluations: model folder → `evaluation.json`.
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
