"""The stages that exist, by name. Explicit: nothing registers itself."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from corpus.config import unknown_key
from tamis.errors import ConfigError

if TYPE_CHECKING:
    from pipelines.stages.base import Stage

STAGES = {
    "eligibility": "pipelines.stages.eligibility:Eligibility",
    "exact_dedup": "pipelines.stages.exact_dedup:ExactDedup",
    "language": "pipelines.stages.language:Language",
    "line_filter": "pipelines.stages.line_filter:LineFilter",
    "heuristic_filter": "pipelines.stages.heuristic_filter:HeuristicFilter",
    "sentence_quality": "pipelines.stages.sentence_quality:SentenceQuality",
    "safety": "pipelines.stages.safety:Safety",
    "decontaminate": "pipelines.stages.decontaminate:Decontaminate",
    "embed": "pipelines.stages.embed:Embed",
    "semantic_clusters": "pipelines.stages.semantic_clusters.stage:SemanticClusters",
    "near_dedup": "pipelines.stages.near_dedup.stage:NearDedup",
    "pii": "pipelines.stages.pii:Pii",
    "span_dedup": "pipelines.stages.span_dedup.stage:SpanDedup",
    "score": "pipelines.stages.score:Score",
}
"""Every stage between ``ingest`` and ``write_shards``, as ``module:class``."""

JOBS = ("ingest", *STAGES, "write_shards")
"""What has a spark-submit entry point ``jobs/run_<name>.py``."""


def stage_class(name: str) -> type[Stage]:
    """The class of a stage.

    Raises:
        ConfigError: there is no such stage.
    """
    if name not in STAGES:
        raise ConfigError(unknown_key(f"stages.{name}", list(STAGES)))
    module, kind = STAGES[name].split(":")
    found: type[Stage] = getattr(importlib.import_module(module), kind)
    return found
