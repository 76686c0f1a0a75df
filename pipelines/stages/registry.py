"""The stages that exist: ours by name, a user's own by reference. A stage is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Sequence

from corpus.config import unknown_key
from corpus.files import Manifest
from corpus.own_code import installed, is_reference
from corpus.run_folder import DocumentShard
from pipelines.stages.base import Stage
from pipelines.stages.own import own_stage
from pipelines.stages.shard_task import Chain, Decided, ShardTask
from tamis.errors import ConfigError

STAGES = (
    "eligibility",
    "exact_dedup",
    "language",
    "line_filter",
    "heuristic_filter",
    "sentence_quality",
    "safety",
    "decontaminate",
    "embed",
    "semantic_clusters",
    "near_dedup",
    "pii",
    "span_dedup",
    "score",
)
"""Every stage of ours between `ingest` and `write_shards`; `stage_class` imports it."""


def stage_class(name: str) -> type[Stage]:
    """The class of a stage of ours, by its name, or of one's own, by its reference.

    Raises:
        ConfigError: there is no such stage, or it cannot be used.
    """
    if is_reference(name):
        return own_stage(name)
    kind: type[Stage]
    match name:
        case "eligibility":
            from pipelines.stages.eligibility import Eligibility as kind
        case "exact_dedup":
            from pipelines.stages.exact_dedup.stage import ExactDedup as kind
        case "language":
            from pipelines.stages.language import Language as kind
        case "line_filter":
            from pipelines.stages.line_filter import LineFilter as kind
        case "heuristic_filter":
            from pipelines.stages.heuristic_filter import HeuristicFilter as kind
        case "sentence_quality":
            from pipelines.stages.sentence_quality import SentenceQuality as kind
        case "safety":
            from pipelines.stages.safety import Safety as kind
        case "decontaminate":
            from pipelines.stages.decontaminate import Decontaminate as kind
        case "embed":
            from pipelines.stages.embed import Embed as kind
        case "semantic_clusters":
            from pipelines.stages.semantic_clusters.stage import SemanticClusters as kind
        case "near_dedup":
            from pipelines.stages.near_dedup.stage import NearDedup as kind
        case "pii":
            from pipelines.stages.pii import Pii as kind
        case "span_dedup":
            from pipelines.stages.span_dedup.stage import SpanDedup as kind
        case "score":
            from pipelines.stages.score import Score as kind
        case _:
            raise ConfigError(unknown_key(f"stages.{name}", [*STAGES, *installed("tamis.stages")]))
    return kind


def shard_tasks(
    shards: Sequence[DocumentShard],
    chain: Chain,
    evidence: Manifest | None = None,
    skip: Sequence[str] = (),
    earlier: bool = False,
) -> tuple[ShardTask, ...]:
    """A `ShardTask` for each document shard, which has the arguments of the same names."""
    kinds = [(manifest.ref, stage_class(manifest.body.get("code", name))) for name, manifest in chain]
    known = tuple(Decided(kind.name, ref, kind.assigns_domains, kind.needs_settled) for ref, kind in kinds)
    seen = None if evidence is None else evidence.ref
    return tuple(ShardTask(shard, known, seen, tuple(skip), earlier) for shard in shards)
