"""Stage `score`: how often a document's text was seen, as one number beside its quality.

`frequency` is the number of raw documents that a kept one stands for: its exact copies, and the near copies dropped for
it with theirs. What a frequency is worth differs by source: a curve turns it into a weight (`weights` in the pipeline
YAML, `pipelines.run.curves`) and is no part of this decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from pipelines.stages.base import Earlier, LocalStage, Verdict
from pipelines.stages.shard_task import Int32


class Score(LocalStage):
    """Adds up copies, exact and near."""

    name: ClassVar[str] = "score"
    paper: ClassVar[str] = "Baichuan 2 (arXiv 2309.10305), section 2.1"
    reads: ClassVar[tuple[str, ...]] = ()
    needs_settled: ClassVar[bool] = True
    provides: ClassVar[Mapping[str, pa.DataType]] = {"frequency": pa.int32()}

    def decide(self, evidence: pa.Table, rows: Int32, first_id: int, decision: Any, earlier: Earlier) -> Verdict:
        """Leaves the column `frequency`; drops nothing."""
        frequency = earlier("exact_dedup", "exact_copies", 1) + earlier("near_dedup", "near_copies", 0)
        columns = pa.table(
            {"row": rows, "doc_id": first_id + rows.astype(np.int64), "frequency": frequency.astype(np.int32)}
        )
        return Verdict(columns=columns)
