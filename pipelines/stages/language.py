"""Stage `language`: the language of each document, by lid.176 and script rules, and how far its lines agree on it.

It leaves scores; a document is dropped only where its domain asks for that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus.config import StrictModel, setting
from corpus.files import atomic_file
from corpus.inputs import named_file
from filters.language.detect import detect
from filters.language.lid import MODEL, SAMPLE_BYTES, load_model
from pipelines.stages.base import Batch, Earlier, LocalStage, Verdict, complaint, drops_table
from pipelines.stages.context import PrepareContext
from pipelines.stages.shard_task import Int32


class LanguageEvidence(StrictModel):
    """The scan."""

    model: str | None = setting(None, "A lid.176 file; null is the one that comes with Tamis.")
    sample_bytes: int = setting(SAMPLE_BYTES, "Text of a document looked at; 0 is all of it.", unit="bytes", ge=0)


class LanguageDecision(StrictModel):
    """Nothing is dropped unless a domain says what it wants."""

    allowed: tuple[str, ...] | None = setting(None, "Languages that may stay; null is all.")
    min_score: float = setting(0.0, "Least score of the language, where allowed is given.", unit="share", ge=0, le=1)
    min_share: float | None = setting(
        None, "Least share of the text in lines of its language; null is any.", unit="share", ge=0, le=1
    )


class Language(LocalStage):
    """Detects languages with our own kernel over the tables of lid.176, and by script."""

    name: ClassVar[str] = "language"
    version: ClassVar[int] = 2
    paper: ClassVar[str] = "Joulin et al. 2017 (arXiv 1607.01759)"
    Evidence = LanguageEvidence
    Decision = LanguageDecision
    provides: ClassVar[Mapping[str, pa.DataType]] = {
        "language": pa.string(),
        "language_score": pa.float32(),
        "language_share": pa.float32(),
        "second_language": pa.string(),
    }
    evidence: LanguageEvidence

    @classmethod
    def prepare(cls, evidence: StrictModel, context: PrepareContext) -> dict[str, Path]:
        """Finds the model file; Tamis's own is copied into the run, where tasks on other machines find it."""
        assert isinstance(evidence, LanguageEvidence)
        if evidence.model:
            return {"model": named_file(context.base, evidence.model, "stages.language.model")}
        copy = context.models / MODEL.name
        if not copy.exists():
            with atomic_file(copy) as file:
                file.write(MODEL.read_bytes())
        return {"model": copy}

    @classmethod
    def missing(cls, evidence: StrictModel, decision: StrictModel, base: Path) -> Iterator[str]:
        """A model file that is not there, or is none."""
        assert isinstance(evidence, LanguageEvidence)
        if evidence.model:
            name = evidence.model
            yield from complaint(lambda: load_model(named_file(base, name, "stages.language.model")))

    def scan(self, batch: Batch) -> pa.Table:
        """One row a document: its language, the score, the share of text in lines of it, the second language."""
        path = Path(self.artefacts["model"])
        found = detect(batch.texts.column, path, sample_bytes=self.evidence.sample_bytes)
        return batch.table(
            language=found.codes.cast(pa.string()),
            language_score=pa.array(found.scores),
            language_share=pa.array(found.shares, from_pandas=True),
            second_language=found.seconds.cast(pa.string()),
        )

    def decide(
        self, evidence: pa.Table, rows: Int32, first_id: int, decision: LanguageDecision, earlier: Earlier
    ) -> Verdict:
        """Leaves the columns; drops other languages and mixed documents where the config says so."""
        columns = evidence.select(["row", "doc_id", *self.provides])
        reasons = np.full(columns.num_rows, "", dtype=object)
        if decision.min_share is not None:
            mixed = pc.less(columns.column("language_share"), pa.scalar(decision.min_share, pa.float32()))
            reasons[mixed.fill_null(False).to_numpy()] = "mixed_language"
        if decision.allowed is not None:
            right = pc.is_in(columns.column("language"), pa.array(decision.allowed, pa.string())).to_numpy()
            sure = columns.column("language_score").to_numpy() >= np.float32(decision.min_score)
            reasons[~sure] = "language_uncertain"
            reasons[~right] = "other_language"
        gone = reasons != ""
        drops = drops_table(columns.column("row").to_numpy()[gone], first_id, reasons[gone].tolist())
        return Verdict(drops, columns=columns)
