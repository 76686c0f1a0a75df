"""Stage `sentence_quality`: scores sentences by a model that the pipeline trains from its references.

The reference sets of the YAML say what a good sentence is. The scan keeps the mean score of a document, and each
sentence that scores below `store_below`, so that thresholds up to it need no new scan. The decision cuts the worst
sentences, up to a share of the document.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
from pydantic import model_validator

from corpus.config import Refused, StrictModel, setting
from filters.quality.decide import SentenceQualityDecision, choose_cuts, document_quality, sentence_facts
from filters.quality.model import SentenceModel
from filters.quality.training import QualityTraining
from pipelines.stages.base import Batch, Earlier, LocalStage, Verdict, drops_table, edits_table
from pipelines.stages.context import PrepareContext
from pipelines.stages.shard_task import Int32
from pipelines.stages.trained_model import missing_model, trained_model
from tamis.errors import ConfigError
from text.segment import sentences


class SentenceQualityEvidence(StrictModel):
    """The model, and which sentences are worth remembering."""

    model: str | None = setting(None, "Folder of a trained model; null trains one.")
    training: QualityTraining | None = setting(None, "What to train on where no model is named.")
    store_below: float = setting(
        0.5, "Sentences scoring less are kept as evidence; bounds the threshold.", unit="score", gt=0, le=1
    )

    @model_validator(mode="after")
    def _one_model(self) -> SentenceQualityEvidence:
        if (self.model is None) == (self.training is None):
            raise Refused("model", self.model, "either a trained model or training, not both and not neither")
        return self


class SentenceQuality(LocalStage):
    """Scores sentences; cuts the worst."""

    name: ClassVar[str] = "sentence_quality"
    version: ClassVar[int] = 2
    paper: ClassVar[str] = "Baichuan 2 (arXiv 2309.10305), figure 2; Joulin et al. 2017 (arXiv 1607.01759)"
    Evidence = SentenceQualityEvidence
    Decision = SentenceQualityDecision
    provides: ClassVar[Mapping[str, pa.DataType]] = {"quality": pa.float32()}
    evidence: SentenceQualityEvidence

    @classmethod
    def check(cls, evidence: StrictModel, decision: StrictModel) -> None:
        """Refuses a threshold above `store_below`: sentences that score higher are not kept as evidence."""
        assert isinstance(evidence, SentenceQualityEvidence) and isinstance(decision, SentenceQualityDecision)
        if decision.threshold > evidence.store_below:
            raise ConfigError(
                f"stages.sentence_quality.threshold: found {decision.threshold}; expected at most store_below, "
                f"{evidence.store_below} (raise that as well)"
            )

    @classmethod
    def prepare(cls, evidence: StrictModel, context: PrepareContext) -> dict[str, Path]:
        """Finds the model, or trains one, unless one of this config and reference text is there."""
        assert isinstance(evidence, SentenceQualityEvidence)
        return {"model": trained_model(cls.name, evidence.model, evidence.training, context)}

    @classmethod
    def missing(cls, evidence: StrictModel, decision: StrictModel, base: Path) -> Iterator[str]:
        """A model that is not there; what one is trained on."""
        assert isinstance(evidence, SentenceQualityEvidence)
        yield from missing_model(cls.name, evidence.model, evidence.training, base, SentenceModel.load)

    @cached_property
    def _model(self) -> SentenceModel:
        return SentenceModel.load(Path(self.artefacts["model"]))

    def scan(self, batch: Batch) -> pa.Table:
        """A row for each document (`start` is -1) with quality and bytes, and a row for each low-scoring sentence."""
        column = batch.texts.column
        spans = sentences(column)
        scores = self._model.score(column, spans)
        lengths = (spans.ends(column) - spans.starts).astype(np.int64)
        n = len(batch.rows)
        documents = {
            "score": document_quality(scores, lengths, spans.ptr),
            "bytes": column.lengths.astype(np.int32),
            "chars": np.zeros(n, np.int32),
            "fenced": np.zeros(n, np.bool_),
        }
        low = np.flatnonzero(scores < self.evidence.store_below)
        chars, fenced = sentence_facts(column, spans, low)
        which = np.repeat(np.arange(n, dtype=np.int64), np.diff(spans.ptr))[low]
        start = spans.starts[low].astype(np.int64)
        found = {"score": scores[low], "bytes": lengths[low].astype(np.int32), "chars": chars, "fenced": fenced}
        return batch.with_spans(documents, which, start, start + lengths[low], found)

    def decide(
        self, evidence: pa.Table, rows: Int32, first_id: int, decision: SentenceQualityDecision, earlier: Earlier
    ) -> Verdict:
        """Cuts sentences; drops documents below `min_document_quality`, where that is set."""
        starts = evidence.column("start").to_numpy()
        heads = starts < 0
        documents = evidence.filter(pa.array(heads))
        quality = documents.column("score").to_numpy()
        columns = pa.table({"row": documents.column("row"), "doc_id": documents.column("doc_id"), "quality": quality})
        bad = quality < np.float32(decision.min_document_quality)
        drops = drops_table(documents.column("row").to_numpy()[bad], first_id, "low_quality")
        found = evidence.filter(pa.array(~heads))
        firsts = np.searchsorted(found.column("row").to_numpy(), documents.column("row").to_numpy())
        ptr = np.append(firsts, found.num_rows)
        score, size, chars, fenced = (found.column(n).to_numpy() for n in ("score", "bytes", "chars", "fenced"))
        total = documents.column("bytes").to_numpy().astype(np.int64)
        cut = choose_cuts(score, size.astype(np.int64), chars, fenced, ptr.astype(np.int64), total, decision)
        chosen = found.filter(pa.array(cut))
        edits = edits_table(chosen["row"], chosen["start"], chosen["end"], "low_quality_sentence", sentences=1)
        return Verdict(drops, edits, columns)
