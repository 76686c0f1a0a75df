"""Stage `heuristic_filter`: Gopher's, C4's and FineWeb's rules for spaced scripts, their counterparts for Chinese.

One scan counts named features of a document; the rules are thresholds on them. Single bad lines are cut by
`line_filter`.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pyarrow as pa

from filters.heuristic.decide import KEEP, REASONS, decide, scan
from filters.heuristic.thresholds import HeuristicThresholds
from pipelines.stages.base import Batch, Earlier, LocalStage, Verdict, drops_table
from pipelines.stages.shard_task import Int32


class HeuristicFilter(LocalStage):
    """Counts features of a document; drops it by thresholds on them."""

    name: ClassVar[str] = "heuristic_filter"
    version: ClassVar[int] = 2
    paper: ClassVar[str] = (
        "Rae et al. 2021 (arXiv 2112.11446), A1.1; Raffel et al. 2020 (1910.10683), § 2.2; Penedo et al. 2024"
        " (2406.17557), § 3.6"
    )
    Decision = HeuristicThresholds

    def scan(self, batch: Batch) -> pa.Table:
        """One row a document: every feature."""
        return batch.table(**scan(batch.texts.column))

    def decide(
        self, evidence: pa.Table, rows: Int32, first_id: int, decision: HeuristicThresholds, earlier: Earlier
    ) -> Verdict:
        """Drops a document for the first rule that it fails."""
        features = {
            name: evidence.column(name).to_numpy() for name in evidence.column_names if name not in ("row", "doc_id")
        }
        codes = decide(features, decision)  # type: ignore[arg-type]
        gone = codes != KEEP
        reasons = np.array(REASONS, dtype=object)[codes[gone]]
        return Verdict(drops_table(evidence.column("row").to_numpy()[gone], first_id, reasons.tolist()))
