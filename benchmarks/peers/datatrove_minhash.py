"""datatrove: its four MinHash stages (signatures, buckets, clusters, filter) through LocalPipelineExecutor.

Its own defaults: 14 bands of 8, 5-grams of words as spaCy cuts them. It names no survivors.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from benchmarks.peers.common import answer, arguments
from benchmarks.tools.library import library

LANGUAGES = {"en": "eng", "zh": "cmn_Hani"}


def main() -> None:
    """Drops what the filter writes away."""
    folder, out, lang = arguments()
    dedup, executor = library("datatrove.pipeline.dedup"), library("datatrove.executor").LocalPipelineExecutor
    reader, writer = library("datatrove.pipeline.readers").ParquetReader, library("datatrove.pipeline.writers")
    config = dedup.MinhashConfig()
    with tempfile.TemporaryDirectory() as scratch:
        names = ("signatures", "buckets", "removed_ids", "kept", "removed")
        signatures, buckets, ids, kept, removed = (f"{scratch}/{name}" for name in names)
        source = reader(str(folder), glob_pattern="*.parquet", text_key="text", id_key="id")
        language = LANGUAGES[lang]
        steps = (
            (1, [source, dedup.MinhashDedupSignature(signatures, config=config, language=language)]),
            (config.num_buckets, [dedup.MinhashDedupBuckets(signatures, buckets, config=config)]),
            (1, [dedup.MinhashDedupCluster(buckets, ids, config=config)]),
            (
                1,
                [
                    source,
                    dedup.MinhashDedupFilter(ids, writer.JsonlWriter(removed, compression=None)),
                    writer.JsonlWriter(kept, compression=None),
                ],
            ),
        )
        for number, (tasks, pipeline) in enumerate(steps):
            executor(pipeline, tasks=tasks, workers=1, logging_dir=f"{scratch}/logs-{number}").run()
        lines = [line for path in Path(removed).rglob("*.jsonl") for line in path.read_bytes().splitlines()]
    answer(out, {json.loads(line)["id"]: None for line in lines})


if __name__ == "__main__":
    main()
