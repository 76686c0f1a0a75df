"""Tokenise a run's published shards into token bins.

spark-submit --py-files dist/tamis.zip jobs/run_tokens.py RUN --tokenizer MODEL --out BINS
"""

from __future__ import annotations

import tamis.collisions  # noqa: F401  looks first whether our packages are ours
from pipelines.run.token_bins import main

if __name__ == "__main__":
    main()
