"""Stage `semantic_clusters`: cells of embeddings, and the documents of a cell that mean the same.

    embeddings ──sample──▶ centroids ──each shard──▶ cell ──exchange──▶ pairs within a cell ──▶ columns, edges, cells

Centroids lie with the run's models. They are trained once for a set of embeddings, or taken from the snapshot before,
so that cells keep their numbers and drift can be measured. Nothing is dropped here: `near_dedup` joins the semantic
edges with its own and elects survivors once.

Shuffled: for each document a vector and 24 bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from corpus.config import StrictModel, setting
from corpus.files import FileEntry, Manifest, atomic_file, file_digest, read_json, stable_hash, write_json
from corpus.schemas import SEMANTIC_CELLS, SEMANTIC_COLUMNS, SEMANTIC_EDGES
from dedup.clusters import LEAST_MEMBERS, open_backend, train_centroids
from dedup.embed import STATIC, USE
from pipelines.spark.exchange import Hop, partitions_for
from pipelines.stages.base import GlobalStage, complaint
from pipelines.stages.context import DecisionContext, GlobalVerdict, PrepareContext, count_rows, remove_scratch
from pipelines.stages.embed import EmbedEvidence
from pipelines.stages.semantic_clusters.tasks import (
    Cells,
    CellTask,
    Sample,
    SampleTask,
    compare_cells,
    emit_cells,
    sample_vectors,
)
from tamis.errors import ConfigError, TamisError

CALIBRATED = {STATIC: 0.998, USE: 0.998}
"""Cosine from which two documents mean the same: precision 0.95, by `benchmarks.dedup.semantic_quality`."""
DISTANCE_BINS = 2000
CENTROIDS, FACTS = "centroids.npy", "facts.json"


class SemanticClustersEvidence(StrictModel):
    """The cells."""

    target_cell_documents: int = setting(
        1000, "Documents of a cell, on average; larger cells find more pairs and take longer.", unit="documents", ge=8
    )
    sample_per_cell: int = setting(
        256,
        "Vectors a cell that the centroids are trained on; more place them better and take longer.",
        unit="vectors",
        ge=LEAST_MEMBERS,
    )
    max_sample: int = setting(
        16_000_000,
        "Vectors that all centroids are trained on, at most; the driver holds them, as float32.",
        unit="vectors",
        ge=LEAST_MEMBERS,
    )
    iterations: int = setting(
        20, "Rounds of k-means; more settle the centroids further and take longer.", unit="rounds", ge=1, le=1000
    )
    giant: float = setting(
        4.0, "Cells of more than this many times their share of the documents are divided.", unit="factor", gt=1
    )
    seed: int = setting(1, "Seed of the sample and of the first centroids.", ge=0)
    centroids: str | None = setting(None, "Folder of centroids to use; null trains them, or takes the ancestor's.")
    device: Literal["auto", "cpu", "cuda"] = setting("auto", "Where cells are trained, assigned and compared.")


class SemanticClustersDecision(StrictModel):
    """Which documents mean the same."""

    threshold: float | None = setting(
        None,
        "Cosine from which two documents mean the same; null is the model's own (static, use: 0.998).",
        unit="cosine",
        source="benchmarks/dedup/semantic_quality.py, precision 0.95",
        gt=0,
        le=1,
    )
    max_cell_documents: int = setting(
        20_000, "Different vectors of a cell that are compared; a larger cell is divided.", unit="vectors", ge=16
    )


class SemanticClusters(GlobalStage):
    """Trains centroids or takes an ancestor's, assigns documents to cells, compares the documents of a cell."""

    name: ClassVar[str] = "semantic_clusters"
    paper: ClassVar[str] = "Baichuan 2 (arXiv 2309.10305), section 2.1; Abbas et al. 2023 (arXiv 2303.09540)"
    Evidence = SemanticClustersEvidence
    Decision = SemanticClustersDecision
    reads: ClassVar[tuple[str, ...]] = ()
    evidence_of: ClassVar[str | None] = "embed"
    by_domain: ClassVar[tuple[str, ...]] = ()
    needs_settled: ClassVar[bool] = True
    provides: ClassVar[Mapping[str, pa.DataType]] = {
        f.name: f.type for f in SEMANTIC_COLUMNS if f.name not in ("row", "doc_id")
    }
    evidence: SemanticClustersEvidence

    @classmethod
    def check_source(cls, source: StrictModel, decision: StrictModel) -> None:
        """Refuses a missing threshold, unless the model has one of its own."""
        assert isinstance(source, EmbedEvidence) and isinstance(decision, SemanticClustersDecision)
        if decision.threshold is None and source.model not in CALIBRATED:
            raise ConfigError(
                f"stages.semantic_clusters.threshold: found null; expected a cosine for the model {source.model!r}, as "
                f"only {', '.join(CALIBRATED)} have their own (benchmarks/dedup/semantic_quality.py measures another)"
            )

    @classmethod
    def prepare(cls, evidence: StrictModel, context: PrepareContext) -> dict[str, Path]:
        """Checks that the device has a backend for k-means, and that named centroids are there."""
        assert isinstance(evidence, SemanticClustersEvidence)
        open_backend(evidence.device)
        return {} if evidence.centroids is None else {"centroids": _named_centroids(context.base, evidence.centroids)}

    @classmethod
    def missing(cls, evidence: StrictModel, decision: StrictModel, base: Path) -> Iterator[str]:
        """A library or a device for k-means; named centroids."""
        assert isinstance(evidence, SemanticClustersEvidence)
        yield from complaint(lambda: open_backend(evidence.device))
        if evidence.centroids is not None:
            yield from complaint(partial(_named_centroids, base, evidence.centroids))

    def wants_gpu(self) -> bool:
        """True unless the device is the CPU: vectors are assigned to cells there."""
        return self.evidence.device != "cpu"

    def decide_globally(self, context: DecisionContext) -> GlobalVerdict:
        """Makes the cells and finds semantic edges, in the steps that the module shows."""
        config: SemanticClustersDecision = context.config
        embedded = context.own.evidence
        _check_one_model(context)
        folder = self._centroids(context)
        centroids, device = folder / CENTROIDS, self.evidence.device
        model = str(embedded.body["config"]["model"])
        threshold = CALIBRATED[model] if config.threshold is None else config.threshold
        width = np.load(centroids, mmap_mode="r").shape[1]
        partitions = partitions_for(context.evidence_rows(), 4 * width + 24, context.cluster.least_partitions)
        cells = Cells(threshold, config.max_cell_documents, self.evidence.seed, device, context.writers)
        files = context.exchange(
            emit_cells,
            [CellTask(task, centroids, device, partitions) for task in context.tasks()],
            [Hop(compare_cells, partitions, cells)],
            {"columns": SEMANTIC_COLUMNS, "edges": SEMANTIC_EDGES, "cells": SEMANTIC_CELLS},
            label="semantic_clusters: assign and compare",
            gpu=self.wants_gpu(),
        )
        facts = {
            "threshold": threshold,
            "centroids": str(folder.relative_to(context.own.run.root)),
            "centroids_digest": file_digest(centroids),
        }
        remove_scratch(context.scratch)
        return GlobalVerdict(files, {**facts, **_facts(context, files, read_json(folder / FACTS))})

    # ----------------------------------------------------------------------------------------------------- centroids

    def _centroids(self, context: DecisionContext) -> Path:
        """The folder of the centroids in this run: named in the config, or an ancestor's, or trained here."""
        if "centroids" in context.artefacts:
            return _copy_into_run(context, Path(context.artefacts["centroids"]), "stages.semantic_clusters.centroids")
        for earlier in reversed(context.earlier):
            known = dict(earlier.chain)[self.name].body["facts"]
            if known["trained"]["cells"]:  # none, if that snapshot had no vectors
                return _copy_into_run(context, earlier.run.root / known["centroids"], "--against")
        settings = self.evidence.model_dump(mode="json", exclude={"device", "centroids"})
        key = stable_hash([settings, context.own.evidence.body["content"], context.upstream, list(context.skip)])
        folder = context.own.run.root / "models" / self.name / key
        if not (folder / CENTROIDS).exists():
            sample, documents = self._sample(context)
            with context.cluster.step("semantic_clusters: centroids"):
                config = self.evidence
                backend = open_backend(config.device)
                cells = max(1, -(-documents // config.target_cell_documents))
                found = train_centroids(
                    sample, cells, config.seed, backend, iterations=config.iterations, giant=config.giant
                )
            facts = {
                "documents": documents,
                "sampled": len(sample),
                "wanted": cells,
                "cells": len(found),
                "backend": backend.name,
                "config": settings,
            }
            _save_centroids(folder, found, facts)
        return folder

    def _sample(self, context: DecisionContext) -> tuple[npt.NDArray[np.float32], int]:
        """Vectors drawn by a hash of seed and id, in the order of ids; and how many documents have one."""
        documents = context.own.evidence.rows("evidence")
        while True:
            cells = max(1, -(-documents // self.evidence.target_cell_documents))
            wanted = min(documents, cells * self.evidence.sample_per_cell, self.evidence.max_sample)
            samples = self._sample_shards(context, wanted / max(1, documents))
            there, picked = sum(s.documents for s in samples), sum(s.picked for s in samples)
            if picked >= min(there, wanted) / 2:
                break
            documents = there  # many have no vector, or a domain that skips the stage: draw a larger share of the rest
        vectors = np.zeros((picked, embedding_width(context.own.evidence) or 1), np.float32)
        at = 0
        for sample in samples:
            if sample.file is not None:
                vectors[at : at + sample.picked] = np.load(sample.file)
                at += sample.picked
        return vectors, there

    def _sample_shards(self, context: DecisionContext, share: float) -> list[Sample]:
        """Draws a share of the vectors of each shard."""
        folder = context.scratch / "sample"
        tasks = context.own.tasks
        return context.cluster.map(
            sample_vectors,
            [SampleTask(task, share, self.evidence.seed, folder) for task in tasks],
            label="semantic_clusters: sample",
            receipts=folder / "receipts",
            weights=[task.shard.rows for task in tasks],
        )


def _check_one_model(context: DecisionContext) -> None:
    """Refuses ancestors that were embedded by another model."""
    mine = context.own.evidence.body["artefacts"]["model"]
    for earlier in context.earlier:
        theirs = earlier.evidence.body["artefacts"]["model"]
        if theirs != mine:
            raise TamisError(
                f"--against: {earlier.run.root} was embedded by another model of that name (digest {theirs}, "
                f"here {mine}); "
                "use the same, or embed the earlier snapshot again"
            )


def _load_centroids(source: Path, key: str) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
    """The centroids of a folder, and the facts about their training.

    Raises:
        ConfigError: the folder holds none.
    """
    try:
        found, facts = np.load(source / CENTROIDS), read_json(source / FACTS)
    except (OSError, ValueError, TamisError) as error:
        raise ConfigError(f"{key}: found {source}; expected a folder with {CENTROIDS} and {FACTS} of Tamis") from error
    return found, facts


def _named_centroids(base: Path, name: str) -> Path:
    folder = (base / name).absolute()
    _load_centroids(folder, "stages.semantic_clusters.centroids")
    return folder


def _copy_into_run(context: DecisionContext, source: Path, key: str) -> Path:
    """Copies centroids from another folder into this run; their folder there."""
    found, facts = _load_centroids(source, key)
    width = embedding_width(context.own.evidence)
    if found.ndim != 2 or (width and found.shape[1] != width):
        raise ConfigError(
            f"{key}: the centroids of {source} have {found.shape[-1]} dimensions and the embeddings {width}: "
            "they come from different models"
        )
    folder = context.own.run.root / "models" / SemanticClusters.name / hashlib.sha256(found.tobytes()).hexdigest()[:16]
    if not (folder / CENTROIDS).exists():
        _save_centroids(folder, found.astype(np.float32), {**facts, "taken": True})
    return folder


def _save_centroids(folder: Path, centroids: npt.NDArray[np.float32], facts: dict[str, Any]) -> None:
    write_json(folder / FACTS, facts)
    with atomic_file(folder / CENTROIDS) as file:
        np.save(file, centroids)


def embedding_width(embedded: Manifest) -> int:
    """Dimensions of the vectors; 0 where nothing was embedded."""
    for path in embedded.paths("evidence"):
        return int(pq.read_schema(path).field("embedding").type.list_size)
    return 0


# --------------------------------------------------------------------------------------------------------------- facts


def _facts(context: DecisionContext, files: list[FileEntry], trained: dict[str, Any]) -> dict[str, Any]:
    """Counts of documents, edges and cells in the files of the decision; with an ancestor, the drift since then."""
    counts, total, bins = 0, 0.0, np.zeros(DISTANCE_BINS, np.int64)
    for entry in files:
        if entry.table == "columns":
            distance = pq.read_table(context.folder / entry.path, columns=["centroid_distance"]).column(0).to_numpy()
            counts, total = counts + len(distance), total + float(distance.sum(dtype=np.float64))
            bins += np.bincount(_distance_bins(distance), minlength=DISTANCE_BINS)
    cells = [pq.read_table(context.folder / f.path) for f in files if f.table == "cells"]
    table = pa.concat_tables(cells) if cells else SEMANTIC_CELLS.empty_table()
    sizes = table.column("cluster_size").to_numpy()
    reach = int(np.searchsorted(np.cumsum(bins), 0.99 * counts)) if counts else 0
    facts: dict[str, Any] = {
        "documents": counts,
        "without_vector": context.own.evidence.rows("evidence") - counts,
        "edges": count_rows(files, "edges"),
        "cells": len(sizes),
        "largest_cell": int(sizes.max(initial=0)),
        "divided_cells": int(table.column("divided").to_numpy().sum()),
        "capped_documents": int(table.column("capped").to_numpy().sum()),
        "trained": trained,
        "distance": {"mean": round(total / max(1, counts), 6), "p99": round((reach + 1) * 2 / DISTANCE_BINS, 6)},
    }
    before = dict(context.earlier[-1].chain)[SemanticClusters.name].body["facts"] if context.earlier else {}
    if before.get("documents"):
        before = before["distance"]
        beyond = int(bins[_distance_bins(np.array([before["p99"]]) + 0.5 / DISTANCE_BINS)[0] :].sum())
        facts["drift"] = {
            "mean_before": before["mean"],
            "mean": facts["distance"]["mean"],
            "p99_before": before["p99"],
            "share_beyond_p99": round(beyond / max(1, counts), 6),
        }
    return facts


def _distance_bins(distance: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """The bin of each distance between 0 and 2."""
    return np.clip(distance * (DISTANCE_BINS / 2), 0, DISTANCE_BINS - 1).astype(np.int64)
