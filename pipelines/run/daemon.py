"""What Spark forks Python workers from, with everything that each of them needs imported already.

    spark.python.daemon.module  pipelines.run.daemon

PySpark's own daemon imports nothing, so that each worker pays for numpy, Arrow, numba and the character tables itself:
1.7 CPU-seconds. Here they are paid once, before the first fork, and the objects are then kept from the collector
(`gc.freeze`), which PySpark runs after every task and which would walk through all of them each time.

PySpark imports late because a library may start threads, which do not survive a fork. Those that are imported here
start none (OpenBLAS is told so) but jemalloc's housekeeper, which jemalloc itself renews after a fork.

The module must be importable where the daemon starts, before any `--py-files` arrive: so it is a setting of
`conf/spark/local.conf`, and may be one of a cluster on whose nodes Tamis is installed.
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
    """Preloads, then is PySpark's daemon."""
    from pyspark.daemon import manager

    preload()
    manager()


if __name__ == "__main__":
    main()
