"""Runs of a pipeline in this process: the one place where benchmarks open Spark and start the runner."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from corpus.run_folder import RunFolder
from pipelines.run.config import load_pipeline
from pipelines.run.runner import Runner
from pipelines.spark.session import Cluster, local_settings
from tamis.places import ROOT
from tamis.progress import Progress


@contextmanager
def local_cluster(
    cores: int | None = None, progress: Progress | None = None, settings: Mapping[str, str] | None = None
) -> Iterator[Cluster]:
    """Spark on one machine as `tamis run` starts it, stopped at the end of the block.

    Args:
        cores: how many; by default as many as `conf/spark/local.conf` says.
        progress: where steps are reported.
        settings: put on top of those of `local.conf`.
    """
    master = {} if cores is None else {"spark.master": f"local[{cores},4]"}
    cluster = Cluster({**local_settings(), **master, **(settings or {})}, progress)
    try:
        yield cluster
    finally:
        cluster.stop()


def run_pipeline(
    pipeline: Path,
    out: Path,
    cluster: Cluster,
    *,
    inputs: Sequence[str] | None = None,
    until: str | None = None,
    base: Path = ROOT,
) -> RunFolder:
    """Runs a pipeline to its end, or to the end of a stage.

    Args:
        pipeline: the YAML file.
        out: the run folder; what is committed there already is not done again.
        cluster: Spark.
        inputs: `DOMAIN=GLOB` in the place of the file's own inputs.
        until: a stage.
        base: the folder that relative paths start from.
    """
    config = load_pipeline(pipeline, inputs=list(inputs) if inputs else None)
    return Runner(config, out, cluster, base).run(until)
