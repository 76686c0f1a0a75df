"""Run a pipeline up to the end of decontaminate.

spark-submit --py-files dist/tamis.zip jobs/run_decontaminate.py PIPELINE.yaml --out RUN [--input DOMAIN=GLOB]...
"""

from __future__ import annotations

from pipelines.run.job import main

if __name__ == "__main__":
    main("decontaminate")
