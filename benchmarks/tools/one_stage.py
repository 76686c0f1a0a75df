"""Brings a run folder to the end of one stage in a fresh process: what ``dedup_speed`` measures.

python -m benchmarks.tools.one_stage PIPELINE.yaml RUN STAGE [--cores 2]

Stage ``floor`` is no stage: the shards' text, through Spark and an identity in Python, to nowhere.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.tools.dedup_run import open_cluster
from pipelines.run.config import load_pipeline
from pipelines.run.runner import Runner
from pipelines.spark.session import Cluster
from tamis.places import ROOT


def _copy_to_nowhere(cluster: Cluster, run: Path) -> None:
    texts = cluster.spark.read.parquet(str(run / "ingest" / "documents" / "*")).select("text")
    texts.mapInArrow(lambda batches: batches, "text string").write.format("noop").mode("overwrite").save()


def main() -> None:
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("pipeline", type=Path, nargs="?")
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("stage", nargs="?")
    parser.add_argument("--cores", type=int, default=2)
    options = parser.parse_args()
    if options.stage is None:
        print("usage: python -m benchmarks.tools.one_stage PIPELINE.yaml RUN STAGE")
        return
    cluster = open_cluster(options.cores)
    try:
        if options.stage == "floor":
            _copy_to_nowhere(cluster, options.run)
            return
        Runner(load_pipeline(options.pipeline), options.run, cluster, ROOT).run(until=options.stage)
    finally:
        cluster.stop()


if __name__ == "__main__":
    main()
