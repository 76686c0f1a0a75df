"""Stage ``exact_dedup``: one copy of each text, counted.

"Exact" is equality after NFC and collapsed white space, by a 128-bit digest. The kept copy is the earliest eligible
one.

A text that occurs in several domains keeps, at first, one *contender* in each: a domain's own rule may drop its copy
later, and then the next one must be there to be kept. ``settle_copies`` elects among the contenders once
those rules have spoken; until then each contender goes through them on its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa

from corpus.schemas import DROPS
from pipelines.context import DecisionContext
from pipelines.stage import Batch, GlobalStage
from text.hash import digest128

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

EVIDENCE = "doc_id BIGINT, low BIGINT, high BIGINT"
COLUMNS = pa.schema([
    pa.field("row", pa.int32()), pa.field("doc_id", pa.int64()), pa.field("exact_copies", pa.int32()),
    pa.field("first_copy", pa.int64()), pa.field("domains", pa.int32()),
])  # fmt: skip
"""About texts that occur more than once: all copies, the earliest eligible one, the domains that they occur in."""


class ExactDedup(GlobalStage):
    """Digest, group, keep the earliest."""

    name: ClassVar[str] = "exact_dedup"
    paper: ClassVar[str] = "Baichuan 2 (arXiv 2309.10305), figure 2; Lee et al. 2022 (arXiv 2107.06499)"
    provides: ClassVar[Mapping[str, pa.DataType]] = {"exact_copies": pa.int32()}

    def scan(self, batch: Batch) -> pa.Table:
        """One row a document: the two halves of its digest."""
        low, high = digest128(batch.texts.column)
        return pa.table({"row": pa.array(batch.rows), "doc_id": pa.array(batch.doc_ids), "low": low, "high": high})

    def decide_globally(self, context: DecisionContext) -> None:
        """Drops every copy within a domain but the first; marks texts that have copies in several domains.

        Cost: a grouped count over all digests (combined before the shuffle), then a join of the repeated ones only.
        """
        from pyspark.sql import functions as F

        with context.cluster.step("exact_dedup: elect"):
            documents = context.with_domain(context.read(context.evidence.paths("evidence"), EVIDENCE))
            in_domain = documents.groupBy("low", "high", "domain").agg(
                F.min("doc_id").alias("contender"), F.count("*").alias("n")
            )
            repeated = (
                in_domain.groupBy("low", "high")
                .agg(F.min("contender").alias("first"), F.sum("n").alias("copies"), F.count("*").alias("domains"))
                .filter("copies > 1")
            )
            groups = in_domain.join(repeated, on=["low", "high"], how="inner").drop("n")
            members = documents.join(groups, on=["low", "high", "domain"], how="inner").cache()
            context.scatter(_drops(members.filter("doc_id != contender"), "contender"), "drops", DROPS)
            kept = members.filter("doc_id = contender").select(
                "doc_id", F.col("copies").alias("exact_copies"), F.col("first").alias("first_copy"), "domains"
            )
            context.scatter(kept, "columns", COLUMNS)
            context.facts["contenders"] = kept.filter("domains > 1").count()
            members.unpersist()


def _drops(frame: DataFrame, survivor: str) -> DataFrame:
    from pyspark.sql import functions as F

    return frame.select(
        "doc_id", F.lit("exact_duplicate").alias("reason"), F.col(survivor).alias("survivor"),
        F.lit(1.0).cast("float").alias("similarity"),
    )  # fmt: skip
