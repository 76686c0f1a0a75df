"""Run a pipeline, or the beginning of it.

spark-submit --py-files dist/tamis.zip jobs/run_pipeline.py PIPELINE.yaml --out RUN [--until STAGE]
"""

from __future__ import annotations

import tamis.collisions  # noqa: F401  looks first whether our packages are ours
from pipelines.run.job import main

if __name__ == "__main__":
    main()
