"""What the spark-submit entry point `jobs/run_pipeline.py` does: run a pipeline, or the beginning of it.

    spark-submit --py-files dist/tamis.zip jobs/run_pipeline.py default --out RUN --input web='/data/*.warc.gz'

The science is the pipeline's; a cluster's settings go to spark-submit (`--properties-file conf/spark/cluster.conf`).

A job and `tamis run --until` do the same work, in the same run folder; whichever comes later goes on where the other
stopped. Nothing of ours but this file and `pipelines.spark.worker` is imported before the code lies in a real folder.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipelines.spark.worker import unpack_code


def main(arguments: Sequence[str] | None = None) -> None:
    """The job. A user's error is one sentence on stderr and exit code 2; TAMIS_DEBUG=1 shows the trace."""
    unpack_code()
    options = _parser().parse_args(arguments)
    with told_in_a_sentence():
        _run(options)


@contextmanager
def told_in_a_sentence() -> Iterator[None]:
    """Ends a job whose user made an error, after one sentence on stderr; TAMIS_DEBUG=1 shows the trace."""
    from tamis.errors import TamisError

    try:
        yield
    except TamisError as error:
        if os.environ.get("TAMIS_DEBUG"):
            raise
        print(f"tamis: {error}", file=sys.stderr)
        sys.exit(2)


def _run(options: argparse.Namespace) -> None:
    from pipelines.run.config import load_pipeline
    from pipelines.run.runner import Runner
    from pipelines.spark.session import Cluster, local_settings
    from tamis.places import base_folder, find_config
    from tamis.progress import PlainProgress

    path = find_config("pipelines", Path(options.pipeline))
    config = load_pipeline(path, inputs=options.inputs, settings=options.settings)
    cluster = Cluster(local_settings(), PlainProgress())
    try:
        Runner(config, options.out, cluster, base_folder(path), against=options.against).run(options.until)
    finally:
        cluster.stop()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="run_pipeline.py", description="Run a pipeline, or the beginning of it.")
    parser.add_argument("pipeline", metavar="PIPELINE.yaml", help="the name of a shipped one, or a path")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="the run folder")
    parser.add_argument(
        "--input",
        dest="inputs",
        action="append",
        default=[],
        metavar="DOMAIN=GLOB",
        help="replaces the YAML's inputs of that domain",
    )
    parser.add_argument(
        "--set", dest="settings", action="append", default=[], metavar="stage.key=value", help="the value in YAML"
    )
    parser.add_argument(
        "--against", type=Path, metavar="RUN", help="the run of the snapshot before: its documents are not kept again"
    )
    parser.add_argument(
        "--until", metavar="STAGE", help="stop behind this stage: ingest, one of the YAML's, write_shards"
    )
    return parser
