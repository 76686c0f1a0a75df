"""Stage ``span_dedup``: paragraphs, then sentences, that occur more than once among the documents still kept.

The first copy (least document id, then offset) owns a span; the others are cut. A document of which little would be
left is dropped instead, as the last step; spans that it owned go to their next copy, once, and that is counted.
Short spans are never looked at, so that "谢谢。" or "Read more" stays where it stands: what is short repeats
by chance, and says nothing about copying.

Only hashes, positions and sizes are shuffled. Source: Baichuan 2 (arXiv 2309.10305), figure 2; Lee et al. 2022.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from corpus.config import StrictModel
from corpus.schemas import DROPS, EDITS
from dedup.spans import span_hashes
from pipelines.context import DecisionContext, materialise
from pipelines.stage import Batch, GlobalStage, Int32, Int64
from text.segment import Spans, paragraphs, sentences

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

PARAGRAPH, SENTENCE, DOCUMENT = 0, 1, 2
EVIDENCE = (
    "doc_id BIGINT, level TINYINT, start INT, end INT, parent INT, bytes INT, sentences INT, tokens INT, hash BIGINT"
)
COLUMNS = pa.schema([
    pa.field("row", pa.int32()), pa.field("doc_id", pa.int64()), pa.field("repeated_share", pa.float32()),
    pa.field("max_span_copies", pa.int32()),
])  # fmt: skip


class SpanDedupEvidence(StrictModel):
    """Which spans are looked at."""

    min_paragraph_tokens: int = Field(10, ge=1, description="Shorter paragraphs are never cut.")
    min_sentence_tokens: int = Field(12, ge=1, description="Shorter sentences are never cut.")


class SpanDedupDecision(StrictModel):
    """What repeats, and when a document is dropped."""

    min_copies: int = Field(2, ge=2, description="Occurrences from which a span counts as repeated.")
    max_removed_fraction: float = Field(0.8, gt=0, le=1, description="A document that would lose more is dropped.")


class SpanDedup(GlobalStage):
    """Hash, count, keep the first copy."""

    name: ClassVar[str] = "span_dedup"
    paper: ClassVar[str] = "Baichuan 2 (arXiv 2309.10305), figure 2; BaichuanSEED (arXiv 2408.15079)"
    Evidence = SpanDedupEvidence
    Decision = SpanDedupDecision
    settles_copies: ClassVar[bool] = True
    by_domain: ClassVar[tuple[str, ...]] = ("max_removed_fraction",)
    provides: ClassVar[Mapping[str, pa.DataType]] = {"repeated_share": pa.float32(), "max_span_copies": pa.int32()}
    evidence: SpanDedupEvidence

    def scan(self, batch: Batch) -> pa.Table:
        """One row a long enough span, offsets in the stored text; one row a document with its bytes."""
        column = batch.texts.column
        pieces = [_document_rows(batch)]
        sentence_spans, paragraph_spans = sentences(column), paragraphs(column)
        for level, spans, least in (
            (PARAGRAPH, paragraph_spans, self.evidence.min_paragraph_tokens),
            (SENTENCE, sentence_spans, self.evidence.min_sentence_tokens),
        ):
            hashes, tokens = span_hashes(spans.as_column(column))
            which = np.repeat(np.arange(len(column), dtype=np.int64), np.diff(spans.ptr))
            start, end = spans.starts.astype(np.int64), spans.ends(column).astype(np.int64)
            keep = tokens >= least
            inside = (
                _counts_inside(which, start, end, sentence_spans)
                if level == PARAGRAPH
                else np.ones(len(start), np.int32)
            )
            parents = _parents(which, start, paragraph_spans)
            which, start, end = which[keep], start[keep], end[keep]
            rows, low, high = batch.texts.to_stored(which, start, end)
            _, parent_low, _ = batch.texts.to_stored(which, parents[keep], parents[keep] + 1)
            pieces.append(pa.table({
                "row": rows, "doc_id": batch.doc_ids[which], "level": np.full(len(rows), level, np.int8), "start": low,
                "end": high, "parent": parent_low, "bytes": (end - start).astype(np.int32), "sentences": inside[keep],
                "tokens": tokens[keep], "hash": hashes[keep],
            }))  # fmt: skip
        table = pa.concat_tables(pieces)
        return table.sort_by([("row", "ascending"), ("level", "ascending"), ("start", "ascending")])

    def decide_globally(self, context: DecisionContext) -> None:
        """Cuts all copies but the first; see the module."""
        config: SpanDedupDecision = context.config()
        scratch = context.folder / "scratch"
        with context.cluster.step("span_dedup: paragraphs"):
            spans = context.read(context.evidence.paths("evidence"), EVIDENCE)
            cut_paragraphs = materialise(
                _repeated(spans.filter(f"level = {PARAGRAPH}"), config.min_copies), scratch / "paragraphs"
            )
        with context.cluster.step("span_dedup: sentences"):
            left = _outside(spans.filter(f"level = {SENTENCE}"), cut_paragraphs)
            cut_sentences = materialise(_repeated(left, config.min_copies), scratch / "sentences")
        with context.cluster.step("span_dedup: documents"):
            _decide_documents(context, spans, cut_paragraphs.unionByName(cut_sentences), config, scratch)
        shutil.rmtree(scratch, ignore_errors=True)


def _document_rows(batch: Batch) -> pa.Table:
    n = len(batch.rows)
    zeros = np.zeros(n, np.int32)
    size = batch.texts.column.lengths.astype(np.int32)
    return pa.table({
        "row": pa.array(batch.rows), "doc_id": pa.array(batch.doc_ids), "level": np.full(n, DOCUMENT, np.int8),
        "start": zeros, "end": size, "parent": zeros, "bytes": size, "sentences": zeros, "tokens": zeros,
        "hash": np.zeros(n, np.int64),
    })  # fmt: skip


def _counts_inside(which: Int64, start: Int64, end: Int64, inner: Spans) -> Int32:
    """How many inner spans start in each outer span, int32[m]; spans nest."""
    position = np.repeat(np.arange(len(inner.ptr) - 1, dtype=np.int64), np.diff(inner.ptr)) << 32 | inner.starts
    low = np.searchsorted(position, which << 32 | start)
    return (np.searchsorted(position, which << 32 | end) - low).astype(np.int32)


def _parents(which: Int64, start: Int64, outer: Spans) -> Int64:
    """The start of the outer span that each span lies in, int64[m]."""
    position = np.repeat(np.arange(len(outer.ptr) - 1, dtype=np.int64), np.diff(outer.ptr)) << 32 | outer.starts
    found = np.searchsorted(position, which << 32 | start, side="right") - 1
    return (position[found] & 0xFFFFFFFF) if len(found) else np.zeros(0, np.int64)


def _repeated(spans: DataFrame, min_copies: int) -> DataFrame:
    """Every occurrence of a repeated span, with its number of copies and whether it is the owner.

    Counted and combined before the shuffle; only occurrences of repeated spans are joined back. Spark splits the
    partition of a heavy hitter (adaptive skew join).
    """
    from pyspark.sql import functions as F

    groups = (
        spans.groupBy("hash")
        .agg(F.count("*").alias("copies"), F.min(F.struct("doc_id", "start")).alias("owner"))
        .filter(F.col("copies") >= min_copies)
    )
    is_owner = (F.col("doc_id") == F.col("owner.doc_id")) & (F.col("start") == F.col("owner.start"))
    return spans.join(groups, on="hash", how="inner").withColumn("owns", is_owner).drop("owner")


def _outside(sentence_rows: DataFrame, cut_paragraphs: DataFrame) -> DataFrame:
    """The sentences that lie in no cut paragraph."""
    from pyspark.sql import functions as F

    gone = cut_paragraphs.filter("not owns").select("doc_id", F.col("start").alias("parent"))
    return sentence_rows.join(gone, on=["doc_id", "parent"], how="left_anti")


def _decide_documents(
    context: DecisionContext, spans: DataFrame, occurrences: DataFrame, config: SpanDedupDecision, scratch: Path
) -> None:
    from pyspark.sql import functions as F

    sizes = spans.filter(f"level = {DOCUMENT}").select("doc_id", F.col("bytes").alias("total"))
    per_document = (
        occurrences.groupBy("doc_id")
        .agg(
            F.sum(F.when(F.col("owns"), 0).otherwise(F.col("bytes"))).alias("removed"),
            F.sum(F.when(F.col("level") == PARAGRAPH, F.col("bytes")).otherwise(0)).alias("in_paragraphs"),
            F.sum(F.when(F.col("level") == SENTENCE, F.col("bytes")).otherwise(0)).alias("in_sentences"),
            F.max("copies").cast("int").alias("max_span_copies"),
        )
        .join(sizes, on="doc_id", how="inner")
    )
    per_document = materialise(per_document, scratch / "documents")
    limits = _limits(context, per_document, config)
    gone = materialise(limits.filter("removed > limit * total OR removed >= total").select("doc_id"), scratch / "gone")
    drops = gone.select(
        "doc_id", F.lit("mostly_repeated_spans").alias("reason"), F.lit(None).cast("bigint").alias("survivor"),
        F.lit(None).cast("float").alias("similarity"),
    )  # fmt: skip
    context.scatter(drops, "drops", DROPS)
    alive = occurrences.join(gone, on="doc_id", how="left_anti")
    inherited = materialise(_inherited(occurrences, gone, alive), scratch / "inherited")
    cuts = alive.filter("not owns").join(inherited, on=["hash", "level", "doc_id", "start"], how="left_anti")
    reason = F.when(F.col("level") == PARAGRAPH, "repeated_paragraph").otherwise("repeated_sentence")
    edits = cuts.select(
        "doc_id", "start", "end", reason.alias("reason"), F.lit(None).cast("string").alias("replacement"), "sentences"
    )
    context.scatter(edits, "edits", EDITS)
    share = F.least(F.lit(1.0), F.greatest("in_paragraphs", "in_sentences") / F.col("total"))
    columns = per_document.select("doc_id", share.cast("float").alias("repeated_share"), "max_span_copies")
    context.scatter(columns, "columns", COLUMNS)
    context.facts.update(dropped=gone.count(), cuts=cuts.count(), inherited=inherited.count())


def _limits(context: DecisionContext, documents: DataFrame, config: SpanDedupDecision) -> DataFrame:
    """Adds each document's ``limit``: the removed fraction above which it is dropped, by domain."""
    from pyspark.sql import functions as F

    overrides = context.domain_configs()
    if not overrides:
        return documents.withColumn("limit", F.lit(config.max_removed_fraction))
    limit = F.lit(config.max_removed_fraction)
    for domain, other in overrides.items():
        limit = F.when(F.col("domain") == domain, other.max_removed_fraction).otherwise(limit)  # type: ignore[attr-defined]
    return context.with_domain(documents).withColumn("limit", limit)


def _inherited(occurrences: DataFrame, gone: DataFrame, alive: DataFrame) -> DataFrame:
    """The next copy of each span whose owner was dropped."""
    from pyspark.sql import functions as F

    orphaned = occurrences.filter("owns").join(gone, on="doc_id", how="inner").select("hash", "level")
    heirs = alive.join(orphaned, on=["hash", "level"], how="inner").groupBy("hash", "level")
    return heirs.agg(F.min(F.struct("doc_id", "start")).alias("heir")).select(
        "hash", "level", F.col("heir.doc_id").alias("doc_id"), F.col("heir.start").alias("start")
    )
