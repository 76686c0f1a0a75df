"""The stages that exist, by name. Explicit: nothing registers itself; a stage is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from corpus.config import unknown_key
from corpus.files import Manifest
from corpus.run_folder import DocumentShard
from pipelines.stages.base import Stage
from pipelines.stages.shard_task import Chain, Decided, ShardTask
from tamis.errors import ConfigError


def _eligibility() -> type[Stage]:
    from pipelines.stages.eligibility import Eligibility

    return Eligibility


def _exact_dedup() -> type[Stage]:
    from pipelines.stages.exact_dedup.stage import ExactDedup

    return ExactDedup


def _language() -> type[Stage]:
    from pipelines.stages.language import Language

    return Language


def _line_filter() -> type[Stage]:
    from pipelines.stages.line_filter import LineFilter

    return LineFilter


def _heuristic_filter() -> type[Stage]:
    from pipelines.stages.heuristic_filter import HeuristicFilter

    return HeuristicFilter


def _sentence_quality() -> type[Stage]:
    from pipelines.stages.sentence_quality import SentenceQuality

    return SentenceQuality


def _safety() -> type[Stage]:
    from pipelines.stages.safety import Safety

    return Safety


def _decontaminate() -> type[Stage]:
    from pipelines.stages.decontaminate import Decontaminate

    return Decontaminate


def _embed() -> type[Stage]:
    from pipelines.stages.embed import Embed

    return Embed


def _semantic_clusters() -> type[Stage]:
    from pipelines.stages.semantic_clusters.stage import SemanticClusters

    return SemanticClusters


def _near_dedup() -> type[Stage]:
    from pipelines.stages.near_dedup.stage import NearDedup

    return NearDedup


def _pii() -> type[Stage]:
    from pipelines.stages.pii import Pii

    return Pii


def _span_dedup() -> type[Stage]:
    from pipelines.stages.span_dedup.stage import SpanDedup

    return SpanDedup


def _score() -> type[Stage]:
    from pipelines.stages.score import Score

    return Score


STAGES: dict[str, Callable[[], type[Stage]]] = {
    "eligibility": _eligibility,
    "exact_dedup": _exact_dedup,
    "language": _language,
    "line_filter": _line_filter,
    "heuristic_filter": _heuristic_filter,
    "sentence_quality": _sentence_quality,
    "safety": _safety,
    "decontaminate": _decontaminate,
    "embed": _embed,
    "semantic_clusters": _semantic_clusters,
    "near_dedup": _near_dedup,
    "pii": _pii,
    "span_dedup": _span_dedup,
    "score": _score,
}
"""Every stage between `ingest` and `write_shards`: name → function that imports and returns its class."""


def stage_class(name: str) -> type[Stage]:
    """The class of a stage.

    Raises:
        ConfigError: there is no such stage.
    """
    if name not in STAGES:
        raise ConfigError(unknown_key(f"stages.{name}", list(STAGES)))
    return STAGES[name]()


def shard_tasks(
    shards: Sequence[DocumentShard],
    chain: Chain,
    evidence: Manifest | None = None,
    skip: Sequence[str] = (),
    earlier: bool = False,
) -> tuple[ShardTask, ...]:
    """A `ShardTask` for each document shard, which has the arguments of the same names."""
    kinds = [(manifest.ref, stage_class(name)) for name, manifest in chain]
    known = tuple(Decided(kind.name, ref, kind.assigns_domains, kind.needs_settled) for ref, kind in kinds)
    seen = None if evidence is None else evidence.ref
    return tuple(ShardTask(shard, known, seen, tuple(skip), earlier) for shard in shards)
