"""The arms of `benchmarks.ablations.ablation`: what pipelines of more and more stages make of one crawl.

Each arm is a pipeline of stages of `conf/pipelines/default.yaml` with their settings; an arm names the stages that it
adds to the arm before. All start from one ingest; the last arm starts from the whole run before it, so that it makes
nothing but weights. `pii` is left out: it is neither dedup nor a filter.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.corpora.base_text import LANGUAGES
from benchmarks.tools.ablation.trials import CONF
from benchmarks.tools.pipeline_run import run_pipeline
from corpus.config import load_yaml
from pipelines.spark.session import Cluster
from sampler.published import list_shards


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to make training text of the crawl.

    Attributes:
        name: of the run folder.
        adds: stages that the arm before lacks.
        scored: whether documents have the weights of the default pipeline, or all weigh 1.
    """

    name: str
    adds: tuple[str, ...] = ()
    scored: bool = False


ARMS = (
    Arm("none"),
    Arm("document", ("exact_dedup", "embed", "semantic_clusters", "near_dedup")),
    Arm("multi-level", ("span_dedup",)),
    Arm("filtered", ("language", "line_filter", "heuristic_filter", "sentence_quality", "score")),
    Arm("scored", (), scored=True),
)
"""In order; each also has the stages of the arms before it."""


def pipeline_of(arm: Arm) -> dict[str, Any]:
    """The arm's pipeline YAML, with inputs beside it: the default's stages, in its order, with its settings."""
    default = load_yaml(CONF / "pipelines" / "default.yaml")
    stages = {stage for earlier in ARMS[: ARMS.index(arm) + 1] for stage in earlier.adds}
    return {
        "name": f"ablation_{arm.name}",
        "inputs": [{"domain": lang, "paths": [f"corpus/input/{lang}.parquet"]} for lang in LANGUAGES],
        "stages": {name: block for name, block in default["stages"].items() if name in stages},
        "write_shards": {"heldout_fraction": 0.0},
        "weights": default["weights"] if arm.scored else {},
    }


def run_arm(arm: Arm, work: Path, cluster: Cluster) -> Path:
    """Runs the arm's pipeline over `work/corpus` into `work/<arm>`; returns that folder.

    Raises:
        SystemExit: a scored arm's shards are not those of the arm before.
    """
    path, out, before = work / f"{arm.name}.yaml", work / arm.name, ARMS[max(0, ARMS.index(arm) - 1)]
    path.write_text(yaml.safe_dump(pipeline_of(arm), allow_unicode=True, sort_keys=False), "utf-8")
    if not arm.adds and arm != before:
        shutil.copytree(work / before.name, out)
    elif arm != ARMS[0]:
        shutil.copytree(work / ARMS[0].name / "ingest", out / "ingest")
    run_pipeline(path, out, cluster, base=work)
    if arm.scored and _digests(out) != _digests(work / before.name):
        raise SystemExit(f"{out}: its shards are not those of {before.name}, though only weights were to differ")
    return out


def _digests(run: Path) -> list[str]:
    return [shard.digest for shards in list_shards(run).values() for shard in shards]
