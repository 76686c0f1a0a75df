"""Settles which copy of a text stays when it has contenders in several domains.

After the rules of each domain have spoken, the earliest contender that none of them dropped wins; if all were dropped,
the earliest. The others become exact duplicates of it, and, as the first decision that drops a document wins, what a
rule said about them no longer counts. Copies that had been dropped in favour of a losing contender point to the
winner.

Cost: narrow rows of texts that occur in several domains; nothing where there are none.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING

from corpus.files import Manifest, commit, load_manifest, stable_hash
from corpus.run_folder import RunFolder
from corpus.schemas import DROPS
from pipelines.context import scatter
from pipelines.session import Cluster

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_DROPS = "doc_id BIGINT, reason STRING, survivor BIGINT, similarity FLOAT"


def settle_copies(
    run: RunFolder, provisional: Manifest, chain: Sequence[tuple[str, Manifest]], cluster: Cluster
) -> Manifest:
    """The final decision of ``exact_dedup``.

    Args:
        run: the run folder.
        provisional: its first decision, with contenders.
        chain: all decisions so far.
        cluster: Spark.

    Returns:
        A decision whose manifest says ``settled``; the provisional one's files where nothing contends.
    """
    position = [name for name, _ in chain].index("exact_dedup")
    later = [m for _, m in chain[position + 1 :]]
    key = stable_hash([provisional.body["key"], [m.body["key"] for m in later]])
    folder = run.stage_folder("exact_dedup", "decision", f"{key}-settled")
    done = load_manifest(folder)
    if done is not None:
        return done
    body = {**provisional.body, "key": key, "settled": True}
    if not provisional.body["facts"]["contenders"]:
        return Manifest(provisional.folder, body, provisional.files)
    with cluster.step("exact_dedup: settle copies over domains"):
        drops = scatter(_settled(provisional, later, cluster), "drops", DROPS, folder, len(run.shards))
    kept = [f for f in provisional.files if f.table == "columns"]
    folder.mkdir(parents=True, exist_ok=True)
    for entry in kept:
        shutil.copy2(provisional.folder / entry.path, folder / entry.path)
    return commit(folder, body, [*drops, *kept])


def _settled(provisional: Manifest, later: list[Manifest], cluster: Cluster) -> DataFrame:
    """All drops of exact_dedup after the election among contenders."""
    from pyspark.sql import functions as F

    spark = cluster.spark
    columns = spark.read.schema("doc_id BIGINT, first_copy BIGINT, domains INT").parquet(*provisional.paths("columns"))
    contenders = columns.filter("domains > 1").select("doc_id", F.col("first_copy").alias("first"))
    paths = [p for m in later for p in m.paths("drops")]
    dropped = (
        spark.read.schema("doc_id BIGINT").parquet(*paths).distinct()
        if paths
        else spark.createDataFrame([], "doc_id BIGINT")
    )
    marked = contenders.join(dropped.withColumn("gone", F.lit(1)), on="doc_id", how="left")
    rank = F.struct(F.coalesce("gone", F.lit(0)).alias("gone"), F.col("doc_id").alias("winner"))
    winners = (
        marked.groupBy("first").agg(F.min(rank).alias("best")).select("first", F.col("best.winner").alias("winner"))
    )
    elected = contenders.join(winners, on="first", how="inner").select("doc_id", "winner").cache()
    losers = elected.filter("doc_id != winner").select(
        "doc_id", F.lit("exact_duplicate").alias("reason"), F.col("winner").alias("survivor"),
        F.lit(1.0).cast("float").alias("similarity"),
    )  # fmt: skip
    earlier_paths = provisional.paths("drops")
    if not earlier_paths:
        return losers
    redirect = elected.select(F.col("doc_id").alias("survivor"), "winner")
    earlier = spark.read.schema(_DROPS).parquet(*earlier_paths).join(redirect, on="survivor", how="left")
    moved = earlier.select("doc_id", "reason", F.coalesce("winner", "survivor").alias("survivor"), "similarity")
    return moved.unionByName(losers)
