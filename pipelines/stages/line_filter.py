"""Stage `line_filter`: cuts lines that are no text, such as counters, menus and notices.

A document of which too much would be cut is dropped.

A stage beside `heuristic_filter` and not a part of it, for three reasons. Cuts change the text that document rules
judge: C4 counts sentences in the lines that it kept, and so cuts lines first; RefinedWeb corrects lines last, in the
documents that its rules kept. In one stage the features would depend on the thresholds of the cuts, and evidence does
not know thresholds. And tables, code and verse consist of such lines: their domains skip this stage, not the other. A
second scan of a shard costs some 3 ms a MB.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pyarrow as pa

from filters.lines.decide import FLAGGED, KEEP, LINE_REASONS, Lines, choose_lines
from filters.lines.features import scan_lines
from filters.lines.thresholds import LineThresholds
from pipelines.stages.base import Batch, Earlier, LocalStage, Verdict, drops_table, edits_table
from pipelines.stages.shard_task import Int32


class LineFilter(LocalStage):
    """Finds suspicious lines; cuts them by rules."""

    name: ClassVar[str] = "line_filter"
    paper: ClassVar[str] = "Raffel et al. 2020 (arXiv 1910.10683), § 2.2; Penedo et al. 2023 (arXiv 2306.01116), G.2"
    Decision = LineThresholds

    def scan(self, batch: Batch) -> pa.Table:
        """A row for each document (`start` is -1) with words and bytes, and a row for each line that could be cut."""
        column, n = batch.texts.column, len(batch.rows)
        facts = scan_lines(column)
        documents = {
            "bytes": column.lengths.astype(np.int32),
            "words": facts.total_words,
            "upper_ratio": np.zeros(n, np.float32),
            "flags": np.zeros(n, np.uint8),
            "sentences": np.zeros(n, np.int32),
        }
        lines = {
            "bytes": (facts.end - facts.start).astype(np.int32),
            **{name: getattr(facts, name) for name in ("words", "upper_ratio", "flags", "sentences")},
        }
        return batch.with_spans(documents, facts.doc, facts.start, facts.end, lines)

    def decide(
        self, evidence: pa.Table, rows: Int32, first_id: int, decision: LineThresholds, earlier: Earlier
    ) -> Verdict:
        """Cuts lines; drops a document of which too much would be cut."""
        heads = evidence.column("start").to_numpy() < 0
        documents, lines = evidence.filter(pa.array(heads)), evidence.filter(pa.array(~heads))
        row = documents.column("row").to_numpy()
        facts = Lines(*(lines.column(name).to_numpy() for name in Lines._fields))
        chosen = choose_lines(facts, decision)
        of = np.searchsorted(row, lines.column("row").to_numpy())
        gone = (chosen != KEEP) & (lines.column("end").to_numpy() > lines.column("start").to_numpy())
        share = _share(of, lines, gone, documents, "bytes")
        flagged = _share(of, lines, gone & (chosen <= FLAGGED), documents, "words")
        limit = 1.0 if decision.max_flagged_word_ratio is None else decision.max_flagged_word_ratio
        bad = flagged > limit
        hollow = ~bad & ((share > decision.max_cut_ratio) | (share >= 1))
        reasons = np.where(bad, "refinedweb_flagged_lines", "lines_mostly_cut")
        dropped = bad | hollow
        drops = drops_table(row[dropped], first_id, reasons[dropped].tolist())
        cut = lines.filter(pa.array(gone & ~dropped[of]))
        names = np.array(LINE_REASONS, object)[chosen[gone & ~dropped[of]]]
        return Verdict(
            drops, edits_table(cut["row"], cut["start"], cut["end"], names.tolist(), sentences=cut["sentences"])
        )


def _share(of: Int32, lines: pa.Table, which: Int32, documents: pa.Table, name: str) -> np.ndarray:  # type: ignore[type-arg]
    """The share of each document's bytes or words (`name`) that lies in the chosen lines, float64[n_docs]."""
    amounts = lines.column(name).to_numpy()[which]
    total = np.bincount(of[which], weights=amounts, minlength=documents.num_rows)
    return total / np.maximum(documents.column(name).to_numpy(), 1)
