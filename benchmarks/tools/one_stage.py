"""Brings a run folder to the end of one stage in a fresh process: what `dedup_speed` measures.

    python -m benchmarks.tools.one_stage PIPELINE.yaml RUN STAGE [--cores 2]

Stage `floor` stands for reading the text of the shards through Spark and an identity function in Python, to nowhere.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.tools.pipeline_run import local_cluster, run_pipeline
from pipelines.spark.session import Cluster

FLOOR = "floor"


def _copy_to_nowhere(cluster: Cluster, run: Path) -> None:
    texts = cluster.spark.read.parquet(str(run / "ingest" / "documents" / "*")).select("text")
    texts.mapInArrow(lambda batches: batches, "text string").write.format("noop").mode("overwrite").save()


def main() -> None:
    """Runs the stage."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("pipeline", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("stage")
    parser.add_argument("--cores", type=int, default=2)
    options = parser.parse_args()
    with local_cluster(options.cores) as cluster:
        if options.stage == FLOOR:
            _copy_to_nowhere(cluster, options.run)
        else:
            run_pipeline(options.pipeline, options.run, cluster, until=options.stage)


if __name__ == "__main__":
    main()
