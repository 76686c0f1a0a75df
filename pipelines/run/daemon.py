"""The process that Spark forks Python workers from, with all that a worker needs imported already.

    spark.python.daemon.module  pipelines.run.daemon

PySpark's own daemon imports nothing, so each worker spends 1.7 CPU-seconds on numpy, Arrow, numba and the character
tables. Here that is spent once, before the first fork. `gc.freeze` then hides these objects from the garbage collector,
which PySpark runs after every task.

PySpark imports late because threads do not survive a fork, and a library may start some. The libraries imported here
start none (OpenBLAS is told not to), except for jemalloc's background thread, which jemalloc starts anew after a fork.

The daemon starts before any `--py-files` arrive, so the module must be installed where it runs: that is why the setting
stands in `conf/spark/local.conf`. On a cluster it may be set if Tamis is installed on the nodes.
"""

from __future__ import annotations

import gc
import os


def preload() -> None:
    """Imports what workers need, readies numba and the character tables, and hides all of it from the collector."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    import pyspark.worker  # noqa: F401

    import pipelines.stages.scan  # noqa: F401
    from text.arrow import TextColumn
    from text.tokens import token_hashes

    token_hashes(TextColumn.from_texts(["一 a"]))
    gc.collect()
    gc.freeze()


def main() -> None:
    """Preloads, then runs PySpark's daemon."""
    from pyspark.daemon import manager

    import tamis.collisions  # noqa: F401  looks first whether our packages are ours

    preload()
    manager()


if __name__ == "__main__":
    main()
