"""Run a pipeline up to the end of write_shards.

spark-submit --py-files dist/tamis.zip jobs/run_write_shards.py PIPELINE.yaml --out RUN [--input DOMAIN=GLOB]...
"""

from __future__ import annotations

from pipelines.run.job import main

if __name__ == "__main__":
    main("write_shards")
