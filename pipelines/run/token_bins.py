"""Token bins on a cluster: `tamis tokens build` as a Spark job, a task a published shard.

    spark-submit --py-files dist/tamis.zip jobs/run_tokens.py RUN --tokenizer MODEL --out BINS

The same files, byte for byte, as built on one machine; whichever comes later goes on where the other stopped. The
tokenizer reaches the tasks by lying beside the bins.
"""

from __future__ import annotations

import argparse
import shutil
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.run.job import told_in_a_sentence
from pipelines.spark.worker import unpack_code

if TYPE_CHECKING:
    from pipelines.spark.session import Cluster
    from sampler.bins.format import TokenBins


def build_on(cluster: Cluster, run: Path, tokenizer: Path, out: str) -> TokenBins:
    """Build what is missing of a run's bins in Spark tasks, and open them; executors see `run`, and `out` (or a URI).

    Raises:
        ConfigError: the bins there are of another tokenizer.
        TamisError: the run has no shards, or one cannot be read.
    """
    from sampler.bins.build import Built, ShardToBuild, build_bins, build_shard
    from sampler.tokenizer.model import open_tokenizer

    # Of the task protocol, for this build alone: what an interrupted build goes on from are the receipts in `out`.
    receipts = run / "tokens" / f"receipts-{uuid.uuid4().hex[:12]}"

    def each(shards: list[ShardToBuild]) -> Iterable[Built]:
        return cluster.map(build_shard, shards, label="tokens", receipts=receipts)

    try:
        return build_bins(run, open_tokenizer(tokenizer), out, each=each)
    finally:
        shutil.rmtree(receipts, ignore_errors=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """The job. A user's error is one sentence on stderr and exit code 2; TAMIS_DEBUG=1 shows the trace."""
    unpack_code()
    from pipelines.spark.session import Cluster, local_settings
    from tamis.progress import PlainProgress

    options = _parser().parse_args(arguments)
    with told_in_a_sentence():
        cluster = Cluster(local_settings(), PlainProgress())
        try:
            out = options.out if "://" in options.out else str(Path(options.out).absolute())
            bins = build_on(cluster, options.run.absolute(), options.tokenizer, out)
            print(f"{sum(bins.tokens.values()):,} tokens of tokenizer {bins.tokenizer_digest[:12]} in {options.out}")
        finally:
            cluster.stop()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="run_tokens.py", description="Tokenise a run's published shards into bins.")
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder with published shards")
    parser.add_argument("--tokenizer", type=Path, required=True, metavar="MODEL", help="a SentencePiece model")
    parser.add_argument("--out", required=True, metavar="BINS", help="a folder, or a URI such as s3://bucket/bins")
    return parser
