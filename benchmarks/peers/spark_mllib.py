"""Spark MLlib: RegexTokenizer, NGram, HashingTF, MinHashLSH and its approximate self-join, all in the JVM.

Its tables are single minima (no bands), so that recall costs candidates; it computes each candidate's exact
similarity over hashed features. Runs in the environment that has Tamis, whose Spark settings it takes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.peers.common import THRESHOLD, WIDTH, answer, arguments, keep_first
from benchmarks.tools.library import library

FEATURES = 1 << 20
TABLES = 5
TOKENS = r"[\u3400-\u9fff]|[\p{L}\p{N}&&[^\u3400-\u9fff]]+"


def main() -> None:
    """Drops the later document of each pair that the join finds."""
    folder, out, _ = arguments()
    with library("benchmarks.tools.pipeline_run").local_cluster(2) as cluster:
        answer(out, dropped(cluster.spark, folder))


def dropped(spark: Any, folder: Path) -> dict[str, str | None]:
    """The later document of each pair of the join → the earlier one."""
    feature = library("pyspark.ml.feature")
    rows = spark.read.parquet(str(folder))
    tokens = feature.RegexTokenizer(inputCol="text", outputCol="tokens", gaps=False, pattern=TOKENS)
    grams = feature.NGram(n=WIDTH, inputCol="tokens", outputCol="grams")
    counts = feature.HashingTF(numFeatures=FEATURES, binary=True, inputCol="grams", outputCol="features")
    for step in (tokens, grams, counts):
        rows = step.transform(rows)
    rows = rows.where("size(grams) > 0").select("id", "features").cache()
    names = sorted(row.id for row in rows.select("id").collect())
    number = {name: i for i, name in enumerate(names)}
    model = feature.MinHashLSH(inputCol="features", outputCol="hashes", numHashTables=TABLES, seed=1).fit(rows)
    joined = model.approxSimilarityJoin(rows, rows, 1 - THRESHOLD).where("datasetA.id < datasetB.id")
    pairs = joined.selectExpr("datasetA.id AS a", "datasetB.id AS b").collect()
    gone = keep_first((number[row.b], number[row.a]) for row in pairs)
    return {names[later]: names[earlier] for later, earlier in gone.items()}


if __name__ == "__main__":
    main()
