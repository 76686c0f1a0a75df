"""Stage `safety`: how safe a text is, by a model that the pipeline trains from its references, and by word lists.

The model scores sentences, as abuse stands in a sentence rather than on a page: `safety` is their mean, weighted by
length, and `unsafe_share` the share of a document's bytes in sentences that score below `unsafe_below`. Terms of the
word lists are counted (`filters.word_lists`). Both leave columns for the weight; a document is dropped only where a
limit is set, since word lists alone drop sex education and medicine first (Dodge et al. 2021).

Whole sites are refused by `eligibility.url_lists`.

Source: Baichuan 2 (arXiv 2309.10305), section 4; Dodge et al. 2021 (arXiv 2104.08758); Deng et al. 2022, COLD
(arXiv 2201.06025), for the labels that the benchmark trains on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
from pydantic import model_validator

from corpus.config import Refused, StrictModel, setting
from corpus.inputs import named_file
from filters.linear.model import LinearModel, score_spans
from filters.quality.decide import document_quality
from filters.quality.training import WordsTraining
from filters.word_lists import WordList, count_listed
from pipelines.stages.base import Batch, Earlier, LocalStage, Verdict, complaint, drops_table
from pipelines.stages.context import PrepareContext
from pipelines.stages.shard_task import Int32
from pipelines.stages.trained_model import missing_model, trained_model
from text.segment import sentences


class SafetyEvidence(StrictModel):
    """The model and the lists."""

    model: str | None = setting(None, "Folder of a trained model; null trains one, or uses none.")
    training: WordsTraining | None = setting(
        None, "References: good is safe, bad is not. Null with model null: word lists alone."
    )
    word_lists: tuple[str, ...] = setting((), "Files with one term a line; # starts a comment.")
    unsafe_below: float = setting(0.5, "Sentences scoring less count as unsafe.", unit="score", gt=0, le=1)

    @model_validator(mode="after")
    def _something(self) -> SafetyEvidence:
        if self.model is not None and self.training is not None:
            raise Refused("model", self.model, "either a trained model or training, not both")
        if self.model is None and self.training is None and not self.word_lists:
            raise Refused("model", None, "a model, training or word_lists; without any there is nothing to look for")
        return self


class SafetyDecision(StrictModel):
    """When a document is dropped; null never."""

    max_unsafe_share: float | None = setting(
        None, "Largest share of its bytes in unsafe sentences.", unit="share", ge=0, le=1
    )
    min_safety: float | None = setting(None, "Least mean score of its sentences.", unit="score", ge=0, le=1)
    max_listed_per_1000: float | None = setting(
        None, "Most listed terms in a thousand tokens.", unit="terms a 1,000 tokens", ge=0
    )
    min_listed: int = setting(3, "Fewer listed terms never drop a document.", unit="terms", ge=1)


class Safety(LocalStage):
    """Scores sentences and counts listed terms; drops documents where a limit is set."""

    name: ClassVar[str] = "safety"
    version: ClassVar[int] = 2
    paper: ClassVar[str] = "Baichuan 2 (arXiv 2309.10305), section 4; Dodge et al. 2021 (arXiv 2104.08758)"
    Evidence = SafetyEvidence
    Decision = SafetyDecision
    provides: ClassVar[Mapping[str, pa.DataType]] = {
        "safety": pa.float32(),
        "unsafe_share": pa.float32(),
        "listed_terms": pa.int32(),
    }
    evidence: SafetyEvidence

    @classmethod
    def prepare(cls, evidence: StrictModel, context: PrepareContext) -> dict[str, Path]:
        """Trains or finds the model; finds the word lists."""
        assert isinstance(evidence, SafetyEvidence)
        found = {}
        for i, name in enumerate(evidence.word_lists):
            found[f"words_{i:03d}"] = _word_list(context.base, name)
        if evidence.model is not None or evidence.training is not None:
            found["model"] = trained_model(cls.name, evidence.model, evidence.training, context)
        return found

    @classmethod
    def missing(cls, evidence: StrictModel, decision: StrictModel, base: Path) -> Iterator[str]:
        """Word lists that are not there or cannot be read as such; a model that is not; what one is trained on."""
        assert isinstance(evidence, SafetyEvidence)
        for name in evidence.word_lists:
            yield from complaint(partial(_word_list, base, name))
        yield from missing_model(cls.name, evidence.model, evidence.training, base, LinearModel.load)

    @cached_property
    def _model(self) -> LinearModel | None:
        return LinearModel.load(Path(self.artefacts["model"])) if "model" in self.artefacts else None

    @cached_property
    def _words(self) -> WordList | None:
        paths = [Path(path) for key, path in sorted(self.artefacts.items()) if key.startswith("words_")]
        return WordList.load(paths) if paths else None

    def scan(self, batch: Batch) -> pa.Table:
        """One row a document: `safety` and `unsafe` bytes (null and 0 without a model), `listed` terms, `tokens`."""
        column = batch.texts.column
        n = len(column)
        safety, unsafe = pa.nulls(n, pa.float32()), np.zeros(n, np.int64)
        if self._model is not None:
            spans = sentences(column)
            scores = score_spans(self._model, column, spans)
            lengths = (spans.ends(column) - spans.starts).astype(np.int64)
            safety = pa.array(document_quality(scores, lengths, spans.ptr))
            which = np.repeat(np.arange(n), np.diff(spans.ptr))
            low = scores < self.evidence.unsafe_below
            unsafe = np.bincount(which[low], lengths[low], minlength=n).astype(np.int64)
        listed, tokens = np.zeros(n, np.int32), np.zeros(n, np.int32)
        if self._words is not None:
            listed, tokens = count_listed(self._words, column)
        return batch.table(
            safety=safety, unsafe=unsafe, bytes=column.lengths.astype(np.int64), listed=listed, tokens=tokens
        )

    def decide(
        self, evidence: pa.Table, rows: Int32, first_id: int, decision: SafetyDecision, earlier: Earlier
    ) -> Verdict:
        """Leaves columns for all documents; drops those over a limit, with the first such limit as the reason."""
        unsafe, size, listed, tokens = (
            evidence.column(name).to_numpy() for name in ("unsafe", "bytes", "listed", "tokens")
        )
        safety = evidence.column("safety").to_numpy(zero_copy_only=False).astype(np.float64)  # null becomes NaN
        share = unsafe / np.maximum(size, 1)
        over = {
            "unsafe_share": share > _limit(decision.max_unsafe_share),
            "low_safety": safety < -_limit(None if decision.min_safety is None else -decision.min_safety),
            "listed_terms": (1000 * listed > _limit(decision.max_listed_per_1000) * np.maximum(tokens, 1))
            & (listed >= decision.min_listed),
        }
        reasons = np.full(len(size), "", dtype=object)
        for reason, holds in reversed(over.items()):
            reasons[holds] = reason
        dropped = np.flatnonzero(reasons != "")
        drops = drops_table(evidence.column("row").to_numpy()[dropped], first_id, reasons[dropped].tolist())
        columns = pa.table(
            {
                "row": evidence.column("row"),
                "doc_id": evidence.column("doc_id"),
                "safety": evidence.column("safety"),
                "unsafe_share": share.astype(np.float32),
                "listed_terms": listed,
            }
        )
        return Verdict(drops=drops, columns=columns)


def _word_list(base: Path, name: str) -> Path:
    path = named_file(base, name, "stages.safety.word_lists")
    WordList.load([path])
    return path


def _limit(value: float | None) -> float:
    return np.inf if value is None else value
