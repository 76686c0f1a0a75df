"""A filter: drops texts that are mostly very short lines, such as lists of links and pages of a calendar."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import tamis


class Lines(tamis.StrictModel):
    """What is counted. A change of it scans the texts again."""

    letters: int = tamis.setting(20, "Lines below so many characters are short.", unit="characters", ge=1)


class Limits(tamis.StrictModel):
    """What is too much. A change of it is decided at once, and may differ by domain."""

    most: float = tamis.setting(0.8, "Largest share of short lines.", unit="share", ge=0, le=1)


class ShortLines(tamis.Stage):
    """Counts short lines."""

    name = "short_lines"
    version = 1
    Evidence = Lines
    Decision = Limits

    def scan(self, batch: tamis.Batch) -> pa.Table:
        """One row a document, for a whole batch at once."""
        lines = pc.split_pattern(batch.column("text"), "\n")
        short = pc.less(pc.utf8_length(pc.list_flatten(lines)), self.evidence.letters)
        counts = np.bincount(pc.list_parent_indices(lines), weights=short.to_numpy(zero_copy_only=False))
        return batch.table(short_lines=counts / pc.list_value_length(lines).to_numpy())

    def decide(self, evidence: pa.Table, rows: Any, first_id: int, limits: Limits, earlier: Any) -> tamis.Verdict:
        """Drops what has too many."""
        bad = evidence.filter(pc.greater(evidence.column("short_lines"), limits.most))
        return tamis.Verdict.drop(bad, "short_lines")
