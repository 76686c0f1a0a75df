"""Stage `near_dedup`: near-duplicate documents, proposed by MinHash-LSH and dropped only when verified.

    signatures ─ twins ─ bands → buckets → candidate edges ─ sketch, then shingles → components → survivors

Only narrow rows are shuffled. Text is read shard by shard: all of it for the signatures, and once more for the shingle
sets of those documents about which the sketch cannot decide (`sets`).

Source: Broder 1997; Lee et al. 2022 (arXiv 2107.06499), section 4.2, with verification and election per survivor added.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import model_validator

from corpus import ids
from corpus.config import Refused, StrictModel, setting
from corpus.files import FileEntry, Manifest, read_files
from corpus.schemas import DROPS
from dedup.banding import MAX_ANCHORS, detection_probability, jaccard_of_containment, sketch_bounds
from dedup.minhash import SKETCH_BITS, signatures
from pipelines.spark.exchange import Hop, partitions_for
from pipelines.spark.session import Cluster
from pipelines.stages.base import Batch, GlobalStage
from pipelines.stages.context import DecisionContext, GlobalVerdict, count_rows, remove_scratch
from pipelines.stages.near_dedup.buckets import Bands, BucketRules, find_candidates
from pipelines.stages.near_dedup.elections import ELECTIONS
from pipelines.stages.near_dedup.plan import plan
from pipelines.stages.near_dedup.semantic_edges import SemanticEdges, find_semantic_edges
from pipelines.stages.near_dedup.sets import SetRules, read_sets
from pipelines.stages.near_dedup.tables import STAGE, ref_of
from pipelines.stages.near_dedup.twins import find_twins
from pipelines.stages.near_dedup.verify import (
    COLUMNS,
    DISAGREEMENTS,
    EDGES,
    LONGEST,
    OUTLYING,
    MemberTask,
    Rules,
    emit_members,
    resolve_components,
)
from pipelines.stages.shard_task import Chain, ShardTask
from tamis.errors import ConfigError
from text.tokens import TOKENS

MEMBER_BYTES = 128
"""What a document and its edges take in the exchange that verifies, apart from its shingle set."""


class NearDedupEvidence(StrictModel):
    """The scan: signatures."""

    num_perm: int = setting(
        128, "Minima of a signature; more make it more exact and larger.", unit="minima", ge=128, le=1024, multiple_of=4
    )
    seed: int = setting(1, "Seed of the hash functions; signatures of different seeds cannot be compared.", ge=0)
    shingle_tokens: int = setting(
        5, "Tokens of a shingle; longer ones make texts with scattered changes less alike.", unit="tokens", ge=1, le=32
    )
    tokens: Literal["text", "code"] = setting(
        "text", "What texts are compared by: words, and signs that mean something; or all that source code says."
    )
    tokens_of: dict[str, Literal["text", "code"]] = setting(
        {}, "Domain to its `tokens`, where they differ; Tamis fills this in from `domains`."
    )
    view: Literal["stored", "cut"] = setting(
        "stored", "The text as ingested, or without the spans cut so far (the order of the report)."
    )


class NearDedupDecision(StrictModel):
    """Bands, verification, election.

    With 21 × 6 a pair of similarity 0.8 is found with probability 0.998, of 0.75 with 0.984.
    By containment a pair may have a lower Jaccard similarity than the threshold, which the bands must still find.
    """

    bands: int = setting(21, "Bands of a signature; more find more pairs and shuffle more.", unit="bands", ge=1)
    rows: int = setting(
        6, "Minima of a band; more let fewer unlike pairs meet, and miss more true ones.", unit="minima", ge=1
    )
    threshold: float = setting(
        0.75,
        "Similarity from which two documents are the same.",
        unit="similarity",
        source="docs/design/near-duplicates.md",
        gt=0,
        le=1,
    )
    similarity: Literal["jaccard", "containment"] = setting(
        "jaccard", "Of shingle sets: what both hold over what either holds, or over the smaller set."
    )
    min_size_ratio: float = setting(
        0.8, "With similarity containment: sets further apart in size are not the same.", unit="share", gt=0, le=1
    )
    recall: float = setting(
        0.95, "Bands that find a pair at the threshold with a lower probability are refused.", unit="share", gt=0, lt=1
    )
    false_reject: float = setting(
        1e-4,
        "Share of pairs at the threshold that the sketch may rule out unseen; more leave fewer pairs to verify.",
        unit="share",
        ge=0,
        lt=0.5,
    )
    false_accept: float = setting(
        0.0,
        "Share of pairs below the threshold that the sketch may accept unseen; 0 verifies all by their shingles.",
        unit="share",
        ge=0,
        lt=0.5,
    )
    max_anchors: int = setting(
        MAX_ANCHORS,
        "Documents of one bucket that others are compared with; what finds none beyond that is counted as capped.",
        unit="documents",
        ge=1,
    )
    semantic: bool = setting(True, "Join the edges by meaning of semantic_clusters, where it stands before.")
    facts: Literal["agree", "ignore"] = setting(
        "agree",
        "Edges by meaning: only between texts that agree in numbers and names, or whatever the texts state.",
        source="docs/design/dense-embeddings.md",
    )
    keep: Literal["best_quality", "longest", "furthest_from_centroid"] = setting(
        "best_quality",
        "Which of a component stays: the copy that is least damaged and says most by sentences of its own, quality"
        " counted in; the longest in bytes; or SemDeDup's choice, which needs semantic_clusters.",
        source="docs/design/whom-it-keeps.md",
    )
    priority: tuple[str, ...] = setting(
        (), "Domains whose copy stays among equals, the first first; Tamis fills this in from the pipeline's."
    )
    max_set_size: int = setting(
        4096, "Larger shingle sets are compared by a sample of this size; more is more exact.", unit="shingles", ge=256
    )
    max_edges_in_memory: int = setting(
        50_000_000, "Up to so many edges components are found on the driver, beyond in Spark.", unit="edges", ge=0
    )

    @model_validator(mode="after")
    def _reaches_recall(self) -> NearDedupDecision:
        reached = detection_probability(self.least_jaccard(), self.bands, self.rows)
        if reached < self.recall:
            pair = f"a pair of similarity {self.threshold}"
            if self.similarity == "containment":
                pair = (
                    f"a pair of containment {self.threshold} and min_size_ratio {self.min_size_ratio} (Jaccard "
                    f"{self.least_jaccard():.3f})"
                )
            raise Refused(
                "recall",
                self.recall,
                f"at most {reached:.3f}, with which {self.bands} bands of {self.rows} rows find {pair}; use more bands "
                "or fewer rows",
            )
        return self

    @model_validator(mode="after")
    def _shingles_tell_containment(self) -> NearDedupDecision:
        if self.similarity == "containment" and self.false_accept > 0:
            raise Refused(
                "false_accept",
                self.false_accept,
                "0 with similarity containment, as a sketch tells Jaccard similarity only",
            )
        return self

    def least_jaccard(self) -> float:
        """The Jaccard similarity from which a pair may be the same: what the bands and the sketch must let through."""
        if self.similarity == "jaccard":
            return self.threshold
        return jaccard_of_containment(self.threshold, self.min_size_ratio)

    def clearly_the_same(self) -> float:
        """The sketch similarity from which a pair is the same, two standard errors above the bound and at most 0.97.

        A pair of Jaccard similarity J has a containment and a ratio of sizes of at least J.
        """
        certain = self.threshold if self.similarity == "jaccard" else max(self.threshold, self.min_size_ratio)
        return min(0.97, certain + 2 * 0.06)


class NearDedup(GlobalStage):
    """Finds candidate edges, verifies them, elects survivors of components."""

    name: ClassVar[str] = STAGE
    version: ClassVar[int] = 3
    paper: ClassVar[str] = "Broder 1997; Lee et al. 2022 (arXiv 2107.06499)"
    Evidence = NearDedupEvidence
    Decision = NearDedupDecision
    by_domain: ClassVar[tuple[str, ...]] = ()
    scan_by_domain: ClassVar[tuple[str, ...]] = ("tokens",)
    needs_settled: ClassVar[bool] = True
    watched: ClassVar[bool] = True
    shown_by: ClassVar[str | None] = "tamis clusters"
    provides: ClassVar[Mapping[str, pa.DataType]] = {
        "component_id": pa.int64(),
        "component_size": pa.int32(),
        "near_copies": pa.int32(),
    }
    evidence: NearDedupEvidence

    @classmethod
    def check(cls, evidence: StrictModel, decision: StrictModel) -> None:
        """Refuses bands that need a longer signature."""
        assert isinstance(evidence, NearDedupEvidence) and isinstance(decision, NearDedupDecision)
        needed = decision.bands * decision.rows
        if needed > evidence.num_perm:
            raise ConfigError(
                f"stages.near_dedup.num_perm: found {evidence.num_perm}; expected at least {needed}, which "
                f"{decision.bands} bands of {decision.rows} rows need"
            )

    @classmethod
    def needs(cls, decision: StrictModel) -> tuple[str, ...]:
        """`semantic_clusters`, if the election goes by the distance to centroids."""
        assert isinstance(decision, NearDedupDecision)
        return ("semantic_clusters",) if decision.keep == OUTLYING else ()

    def sees_cuts(self) -> bool:
        """True with `view: cut`."""
        return self.evidence.view == "cut"

    def scan(self, batch: Batch) -> pa.Table:
        """One row a document: its signature, its sketch, its size, the hash of its token sequence."""
        column = batch.texts.column
        mode = TOKENS[batch.settings["tokens"]]
        found = signatures(column, self.evidence.num_perm, self.evidence.seed, self.evidence.shingle_tokens, mode)
        size = 4 * self.evidence.num_perm
        packed = pa.Array.from_buffers(
            pa.binary(size), len(column), [None, pa.py_buffer(np.ascontiguousarray(found.minima).view(np.uint8))]
        )
        return batch.table(
            bytes=column.lengths.astype(np.int32),
            shingles=found.shingles,
            token_key=found.token_keys,
            sketch_low=found.sketch[:, 0].view(np.int64),
            sketch_high=found.sketch[:, 1].view(np.int64),
            signature=packed.cast(pa.binary()),
        )

    def decide_globally(self, context: DecisionContext) -> GlobalVerdict:
        """Finds candidates, verifies them and elects survivors, in the steps that the module shows."""
        config: NearDedupDecision = context.config
        cluster, scratch, tasks = context.cluster, context.scratch, context.tasks()
        documents = context.evidence_rows()
        reject, accept = sketch_bounds(config.least_jaccard(), config.false_reject, config.false_accept)
        least_accepted = 2 * reject / SKETCH_BITS - 1
        rules = BucketRules(least_accepted, config.clearly_the_same(), config.max_anchors, context.first_new)
        bands = Bands(config.bands, config.rows, self.evidence.num_perm)
        twins = find_twins(cluster, tasks, documents, scratch / "twins")
        candidates = find_candidates(cluster, tasks, twins, documents, bands, rules, scratch / "candidates")
        semantic = _semantic_edges(cluster, tasks, context.own.chain if config.semantic else (), scratch / "semantic")
        with cluster.step("near_dedup: plan verification"):
            planned, rounds = plan(cluster, candidates, twins, accept, config.max_edges_in_memory, scratch, semantic)
        set_rules = SetRules(
            self.evidence.shingle_tokens,
            config.max_set_size,
            self.sees_cuts(),
            config.keep != LONGEST,
            config.facts == "agree",
            self.evidence.tokens,
            dict[str, str](self.evidence.tokens_of),
        )
        beside = context.own.evidence.folder.parents[1]
        sets, scanned = read_sets(cluster, context.snapshots, planned, set_rules, beside)
        files = _verify(context, config, planned, sets, reject)
        remove_scratch(scratch)
        facts = {
            "edges_by_meaning": semantic.edges,
            "edges_without_agreement": count_rows(files, "disagreements"),
            "twins": sum(manifest.rows("twins") for manifest in twins.values()),
            "reject_below_bits": reject,
            "accept_from_bits": accept,
            "contraction_rounds": rounds,
            "sets_scanned": scanned,
        }
        return GlobalVerdict(files, {**candidates.facts, **facts, **_facts(context.folder, files)})


def _semantic_edges(cluster: Cluster, tasks: list[ShardTask], chain: Chain, folder: Path) -> SemanticEdges:
    """The semantic edges of this run, if there are any. Those of an ancestor join documents that are published."""
    clusters = dict(chain).get("semantic_clusters")
    if clusters is None:
        return SemanticEdges()
    return find_semantic_edges(cluster, tasks, clusters.paths("edges"), clusters.rows("edges"), folder)


def _verify(
    context: DecisionContext,
    config: NearDedupDecision,
    planned: Mapping[int, Manifest],
    sets: Mapping[int, Manifest],
    reject: int,
) -> list[FileEntry]:
    """Verifies the planned edges and elects survivors; the files of the decision."""
    rows = sum(f.rows for manifest in planned.values() for f in manifest.files)
    size = sum(f.bytes for manifest in sets.values() for f in manifest.files)
    partitions = partitions_for(1, rows * MEMBER_BYTES + size, context.cluster.least_partitions)
    members = []
    for task in context.tasks():
        manifest = planned.get(ids.snapshot_of(task.shard.first_id))
        if manifest is not None and any(manifest.of_shard(kind, task.shard.number) for kind in ("members", "pairs")):
            wanted = config.keep != LONGEST, config.facts == "agree"
            members.append(MemberTask(task, manifest.ref, ref_of(sets, task), partitions, *wanted, config.priority))
    ratio = config.min_size_ratio if config.similarity == "containment" else 0.0
    return context.exchange(
        emit_members,
        members,
        [Hop(resolve_components, partitions, Rules(config.threshold, reject, ratio, config.keep, context.writers))],
        {"drops": DROPS, "columns": COLUMNS, "edges": EDGES, "disagreements": DISAGREEMENTS, "elections": ELECTIONS},
        label="near_dedup: verify and elect",
    )


def _facts(folder: Path, files: list[FileEntry]) -> dict[str, Any]:
    """Counts of edges, drops, components, and better copies that came too late, in the files of the decision."""
    names = ["component_id", "component_size"]
    columns = read_files((str(folder / f.path) for f in files if f.table == "columns"), names)
    components, sizes = (np.zeros(0) if columns is None else columns.column(name).to_numpy() for name in names)
    names = ["because", "merit", "other_merit"]
    elections = read_files((str(folder / f.path) for f in files if f.table == "elections"), names)
    late = 0
    if elections is not None:
        better = pc.greater(elections.column("merit"), elections.column("other_merit"))
        late = pc.sum(pc.and_(better, pc.equal(elections.column("because"), "published"))).as_py() or 0
    return {
        "better_later": late,
        "edges": count_rows(files, "edges"),
        "dropped": count_rows(files, "drops"),
        "components": len(np.unique(components)),
        "largest_component": int(sizes.max(initial=0)),
    }
