"""Run a pipeline up to the end of span_dedup.

spark-submit --py-files dist/tamis.zip jobs/run_span_dedup.py PIPELINE.yaml --out RUN [--input DOMAIN=GLOB]...
"""

from __future__ import annotations

from pipelines.run.job import main

if __name__ == "__main__":
    main("span_dedup")
