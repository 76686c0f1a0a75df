"""A pipeline run from Python, as `tamis run` runs it: Spark on this machine, started if there is something to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml

from corpus.reading.opened_run import Run
from tamis.errors import ConfigError, TamisError, told_briefly
from tamis.progress import PlainProgress, Progress

Paths = str | Path | Sequence[str | Path]
"""A path or glob, or several."""


@told_briefly
def open_run(path: str | Path, *, personal_data: bool = False) -> Run:
    """Opens a run folder for reading. No Spark.

    `explain` shows stars for e-mail addresses, telephone numbers and their like, unless `personal_data` is asked for;
    the tables are as they are on disk.

    Raises:
        TamisError: it is no run folder, or its ingest has not finished.
    """
    from filters.pii.mask import masked

    return Run(path, None if personal_data else masked)


@told_briefly
def run(
    pipeline: str | Path | Mapping[str, Any],
    out: str | Path,
    *,
    inputs: Mapping[str, Paths] | None = None,
    settings: Mapping[str, Any] | None = None,
    against: str | Path | None = None,
    until: str | None = None,
    spark: Mapping[str, str] | None = None,
    progress: Progress | Literal["lines"] | None = "lines",
) -> Run:
    """Runs a pipeline into the run folder `out` and opens it; called again, it goes on where it stopped.

    Args:
        pipeline: the path of a YAML, the name of one that Tamis ships ("default"), or what a YAML would hold; paths in
            a mapping start from the current folder.
        out: the run folder.
        inputs: domain → path or glob, or several; they replace the pipeline's inputs of that domain.
        settings: `{"near_dedup.threshold": 0.8}`, as `--set` has them.
        against: the run of the snapshot before, near copies of whose documents are not kept again.
        until: stop behind this stage.
        spark: Spark's settings, over those of conf/spark/local.conf: `{"spark.master": "local[4,4]"}`.
        progress: "lines" writes a line a step to stderr; None nothing; or an object of your own.

    Raises:
        ConfigError: a setting is not what it has to be.
        TamisError: the run cannot go on, or the alarm stops it; or this process has a Spark session of its own.
    """
    from pipelines.run.config import load_pipeline
    from pipelines.run.runner import Runner
    from pipelines.spark.session import Cluster, local_settings
    from tamis.places import base_folder, find_config

    given = None if isinstance(pipeline, str | Path) else pipeline
    path = Path("pipeline.yaml") if given is not None else find_config("pipelines", Path(str(pipeline)))
    config = load_pipeline(path, inputs=_inputs(inputs), settings=_settings(settings), given=given)
    _refuse_a_second_session()
    base, earlier = base_folder(path), None if against is None else Path(against)
    cluster = Cluster({**local_settings(), **(spark or {})}, PlainProgress() if progress == "lines" else progress)
    try:
        Runner(config, Path(out), cluster, base, against=earlier).run(until)
    finally:
        cluster.stop()
    return open_run(out)


def _inputs(inputs: Mapping[str, Paths] | None) -> list[str]:
    """The inputs as `--input` has them."""
    given = {domain: [paths] if isinstance(paths, str | Path) else paths for domain, paths in (inputs or {}).items()}
    return [f"{domain}={path}" for domain, paths in given.items() for path in paths]


def _settings(settings: Mapping[str, Any] | None) -> list[str]:
    """The settings as `--set` has them."""
    written = []
    for key, value in (settings or {}).items():
        try:
            written.append(f"{key}={yaml.safe_dump(value, default_flow_style=True, allow_unicode=True)}")
        except yaml.YAMLError:
            raise ConfigError(f"settings: {key}: found {value!r}; expected a value that YAML can hold") from None
    return written


def _refuse_a_second_session() -> None:
    """Spark has one session a process: ours would run with the settings of another, and end it."""
    import sys

    spark = sys.modules.get("pyspark")
    if spark is not None and spark.SparkContext._active_spark_context is not None:
        raise TamisError("this process has a Spark session already: stop it (spark.stop()), or run Tamis in another")
