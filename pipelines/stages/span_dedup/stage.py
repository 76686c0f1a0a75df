"""Stage `span_dedup`: cuts paragraphs, then sentences, that occur more than once in the documents still kept.

The first copy of a span (least document id, then offset) owns it and stays; the others are cut. A document of which
cuts would leave little is dropped instead; then each span that it owned goes to its next copy, once. Short spans, such
as "谢谢。" or "Read more", are never cut: they repeat by chance, which says nothing about copying.

    paragraphs ──▶ owners ──▶ sentences outside cut paragraphs ──▶ owners ──▶ dropped documents ──▶ heirs ──▶ cuts

Only hashes, positions and counts are shuffled, and a hash at most once for each document shard that holds it: a span
that occurs a billion times is no more rows than there are shards, so that no partition is skewed. Answers come back to
the shards, and each shard is decided by itself.

With `near_sentences`, sentences that differ in a word or two are cut as well (`near_sentences.py`).

Source: Baichuan 2 (arXiv 2309.10305), figure 2; Lee et al. 2022.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpus.config import StrictModel, setting
from dedup.short_texts import MAX_TOKENS, short_texts
from pipelines.stages.base import Batch, GlobalStage
from pipelines.stages.context import DecisionContext, GlobalVerdict
from pipelines.stages.shard_task import Int32, Int64
from pipelines.stages.span_dedup.exchanges import SpanExchanges
from pipelines.stages.span_dedup.near_sentences import confirm_links, find_links, near_columns
from pipelines.stages.span_dedup.shard import DOCUMENT, PARAGRAPH, SENTENCE, Limits, SpanTask
from pipelines.stages.span_dedup.tasks import decide_spans
from tamis.errors import ConfigError
from text.segment import Spans, sentences_and_paragraphs
from text.sequences import nested_hashes, opening
from text.tokens import TOKENS, token_hashes


class SpanDedupEvidence(StrictModel):
    """Which spans are looked at."""

    min_paragraph_tokens: int = setting(10, "Shorter paragraphs are never cut.", unit="tokens", ge=1)
    min_sentence_tokens: int = setting(12, "Shorter sentences are never cut.", unit="tokens", ge=1)
    tokens: Literal["text", "code"] = setting(
        "text", "What texts are compared by: words, and signs that mean something; or all that source code says."
    )
    tokens_of: dict[str, Literal["text", "code"]] = setting(
        {}, "Domain to its `tokens`, where they differ; Tamis fills this in from `domains`."
    )
    near_sentences: bool = setting(False, "Take signatures of sentences, and cut near-duplicates too.")
    near_min_tokens: int = setting(12, "Shorter sentences are never near-duplicates.", unit="tokens", ge=1)


class SpanDedupDecision(StrictModel):
    """What repeats, and when a document is dropped."""

    min_copies: int = setting(2, "Occurrences from which a span counts as repeated.", unit="occurrences", ge=2)
    max_removed_fraction: float = setting(
        0.8, "A document that would lose more of its bytes is dropped.", unit="share", gt=0, le=1
    )
    near_threshold: float = setting(
        0.8,
        "With near_sentences: Jaccard similarity of token 3-grams from which a sentence is a near-duplicate.",
        unit="similarity",
        ge=0.5,
        le=1,
    )


class SpanDedup(GlobalStage):
    """Hashes spans, counts copies, keeps the first copy of each."""

    name: ClassVar[str] = "span_dedup"
    version: ClassVar[int] = 4
    paper: ClassVar[str] = "Baichuan 2 (arXiv 2309.10305), figure 2; BaichuanSEED (arXiv 2408.15079)"
    Evidence = SpanDedupEvidence
    Decision = SpanDedupDecision
    needs_settled: ClassVar[bool] = True
    watched: ClassVar[bool] = True
    by_domain: ClassVar[tuple[str, ...]] = ("max_removed_fraction",)
    scan_by_domain: ClassVar[tuple[str, ...]] = ("tokens",)
    provides: ClassVar[Mapping[str, pa.DataType]] = {"repeated_share": pa.float32(), "max_span_copies": pa.int32()}
    evidence: SpanDedupEvidence

    @classmethod
    def check(cls, evidence: StrictModel, decision: StrictModel) -> None:
        """Refuses a `near_min_tokens` below `min_sentence_tokens`: shorter sentences are no evidence."""
        assert isinstance(evidence, SpanDedupEvidence)
        if evidence.near_sentences and evidence.near_min_tokens < evidence.min_sentence_tokens:
            raise ConfigError(
                f"stages.span_dedup.near_min_tokens: found {evidence.near_min_tokens}; expected at least "
                f"min_sentence_tokens, {evidence.min_sentence_tokens}, as shorter sentences are not looked at"
            )

    def scan(self, batch: Batch) -> pa.Table:
        """A row for each span that is long enough, with offsets in the stored text; a row for each document."""
        column = batch.texts.column
        inner, outer = sentences_and_paragraphs(column)
        first = opening(inner, outer)
        ptr, words = token_hashes(inner.as_column(column), TOKENS[batch.settings["tokens"]])
        (by_paragraph, paragraph_tokens), (by_sentence, sentence_tokens) = nested_hashes(ptr, words, first)
        inside = np.diff(np.append(first, len(inner.starts)))
        long_outer = np.flatnonzero(paragraph_tokens >= self.evidence.min_paragraph_tokens)
        long_inner = np.flatnonzero(sentence_tokens >= self.evidence.min_sentence_tokens)
        parent = np.repeat(outer.starts, inside)[long_inner]
        pieces = [
            _span_rows(batch, PARAGRAPH, outer, long_outer, outer.starts[long_outer], inside, by_paragraph),
            _span_rows(batch, SENTENCE, inner, long_inner, parent, np.ones_like(sentence_tokens), by_sentence),
            _document_rows(batch),
        ]
        table = {name: np.concatenate([p[name] for p in pieces]) for name in pieces[0]}
        order = np.argsort(table["row"].astype(np.int64) << 34 | table["level"].astype(np.int64) << 32 | table["start"])
        found = pa.table({name: values[order] for name, values in table.items()})
        if self.evidence.near_sentences:
            columns = self._near(ptr, words, long_inner, len(long_outer), len(order))
            for name, column in columns.items():
                found = found.append_column(name, column.take(pa.array(order)))
        return found

    def _near(
        self, ptr: Int64, tokens: npt.NDArray[np.uint64], sentences: Int64, before: int, rows: int
    ) -> dict[str, pa.Array]:
        """Band keys and shingle sets of the long enough sentences, as columns of the evidence.

        Sentence i has `tokens[ptr[i]:ptr[i + 1]]`; `sentences` are those that are evidence, behind `before` of its
        `rows`.
        """
        sizes = ptr[sentences + 1] - ptr[sentences]
        taken = np.flatnonzero((sizes >= self.evidence.near_min_tokens) & (sizes <= MAX_TOKENS))
        return near_columns(short_texts(ptr, tokens, sentences[taken]), before + taken, rows)

    def decide_globally(self, context: DecisionContext) -> GlobalVerdict:
        """Cuts all copies but the first, in the steps that the module shows."""
        config: SpanDedupDecision = context.config
        near, facts = self.evidence.near_sentences, {}
        exchanges = SpanExchanges(context.cluster, context.scratch, context.writers, context.evidence_rows())
        by_domain = {
            domain: override.max_removed_fraction
            for domain, override in context.domain_configs.items()
            if isinstance(override, SpanDedupDecision)
        }
        limits = Limits(config.max_removed_fraction, by_domain)
        jobs = [SpanTask(task, context.folder, limits) for task in context.tasks()]
        for level in (PARAGRAPH, SENTENCE):
            owners = exchanges.count(jobs, level, config.min_copies)
            jobs = [replace(job, owners=(*job.owners, owners.ref)) for job in jobs]
        if near:
            links, facts["near_capped"] = find_links(exchanges, jobs, config.near_threshold, context.first_new)
            jobs = [replace(job, links=links.ref) for job in jobs]
        jobs = [job for job in jobs if not job.task.earlier]
        heirs = exchanges.heirs(jobs)
        jobs = [replace(job, heirs=heirs.ref) for job in jobs]
        if near:
            kept = confirm_links(exchanges, jobs)
            jobs = [replace(job, kept_links=kept.ref) for job in jobs]
        verdicts = context.cluster.map(
            decide_spans, jobs, label="span_dedup: decide", receipts=context.folder / "receipts"
        )
        for fact in ("dropped", "cuts", "inherited", *(["near_cuts"] if near else [])):
            facts[fact] = sum(getattr(v, fact) for v in verdicts)
        shutil.rmtree(context.scratch, ignore_errors=True)
        return GlobalVerdict([f for v in verdicts for f in v.files], facts)


def _span_rows(
    batch: Batch, level: int, spans: Spans, chosen: Int64, parent: Int32, inside: npt.NDArray[Any], hashes: Int64
) -> dict[str, npt.NDArray[Any]]:
    """Evidence about the `chosen` spans of a level, int64[k]; their paragraphs begin at `parent`, int32[k].

    `inside`, the sentences in each span, and `hashes` are of all spans.
    """
    column = batch.texts.column
    which = np.repeat(np.arange(len(column), dtype=np.int64), np.diff(spans.ptr))[chosen]
    start, end = spans.starts[chosen].astype(np.int64), spans.ends(column)[chosen].astype(np.int64)
    rows, low, high = batch.texts.to_stored(which, start, end)
    _, parent_low, _ = batch.texts.to_stored(which, parent.astype(np.int64), parent.astype(np.int64) + 1)
    return {
        "row": rows,
        "level": np.full(len(rows), level, np.int8),
        "start": low,
        "end": high,
        "parent": parent_low,
        "bytes": (end - start).astype(np.int32),
        "sentences": inside[chosen].astype(np.int32),
        "hash": hashes[chosen],
    }


def _document_rows(batch: Batch) -> dict[str, npt.NDArray[Any]]:
    """Evidence about whole documents: their bytes."""
    zeros = np.zeros(len(batch.rows), np.int32)
    size = batch.texts.column.lengths.astype(np.int32)
    return {
        "row": batch.rows,
        "level": np.full(len(zeros), DOCUMENT, np.int8),
        "start": zeros,
        "end": size,
        "parent": zeros,
        "bytes": size,
        "sentences": zeros,
        "hash": np.zeros(len(zeros), np.int64),
    }
