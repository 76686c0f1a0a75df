"""The stages that exist, by name. Explicit: nothing registers itself."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from corpus.config import unknown_key
from corpus.errors import ConfigError

if TYPE_CHECKING:
    from pipelines.stage import Stage

STAGES = {
    "eligibility": "pipelines.eligibility:Eligibility",
    "exact_dedup": "pipelines.exact_dedup:ExactDedup",
    "language": "pipelines.language:Language",
    "line_filter": "pipelines.line_filter:LineFilter",
    "heuristic_filter": "pipelines.heuristic_filter:HeuristicFilter",
    "sentence_quality": "pipelines.sentence_quality:SentenceQuality",
    "safety": "pipelines.safety:Safety",
    "decontaminate": "pipelines.decontaminate:Decontaminate",
    "embed": "pipelines.embed:Embed",
    "semantic_clusters": "pipelines.semantic_clusters:SemanticClusters",
    "near_dedup": "pipelines.near_dedup:NearDedup",
    "pii": "pipelines.pii:Pii",
    "span_dedup": "pipelines.span_dedup:SpanDedup",
    "score": "pipelines.score:Score",
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
