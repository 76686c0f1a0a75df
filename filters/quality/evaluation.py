"""How good a sentence-quality model is on sources it has never seen.

The area under the ROC curve needs no threshold and no class shares: it is the chance that a good text scores above a
bad one. It is given per language, for single examples and for whole documents, over all bad sources and for each apart,
because a pooled figure hides a source on which the model fails; beside it stands the area for sentences scored without
their neighbours. Sets that are parts of pages are measured by sentence only. Where nothing can be measured, a note says
why.

Cost: a sort of the held-out scores. Source: Mann and Whitney 1947; Hanley and McNeil 1982 (the area as a rank
statistic).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from filters.quality.decide import document_quality
from filters.quality.model import SentenceModel
from filters.quality.references import Examples, ReferenceSet

Floats = npt.NDArray[np.floating[Any]]
_BINS = 10


@dataclass(frozen=True, slots=True)
class Scored:
    """A reference set's scores."""

    reference: ReferenceSet
    examples: npt.NDArray[np.float32]  # [n_kept], the score of each example with enough tokens
    alone: npt.NDArray[np.float32]  # [n_kept], the same without its neighbours
    documents: npt.NDArray[np.float32]  # [n_docs], of each not empty; empty for a set that is a part of its pages


def score_examples(model: SentenceModel, examples: Examples) -> Scored:
    """Scores a set as the pipeline would score its documents."""
    scores = model.score(examples.column, examples.spans)
    alone = model.score_alone(examples.column, examples.spans)
    lengths = examples.spans.ends(examples.column).astype(np.int64) - examples.spans.starts
    documents = document_quality(scores, lengths, examples.spans.ptr)[np.diff(examples.spans.ptr) > 0]
    if examples.reference.part:
        documents = documents[:0]
    return Scored(examples.reference, scores[examples.kept], alone[examples.kept], documents)


def auc(good: Floats, bad: Floats) -> float:
    """The chance that a good score is above a bad one, ties counting half.

    Raises:
        ValueError: one side is empty.
    """
    if not len(good) or not len(bad):
        raise ValueError("an AUC needs scores of both labels")
    _, place, counts = np.unique(np.concatenate([good, bad]), return_inverse=True, return_counts=True)
    below = np.cumsum(counts) - counts
    ranks = (below + (counts + 1) / 2)[place]
    wins = ranks[: len(good)].sum() - len(good) * (len(good) + 1) / 2
    return float(wins / (len(good) * len(bad)))


def evaluate(scored: Sequence[Scored], max_good_lost: float) -> dict[str, Any]:
    """The evaluation of a model on its held-out sets; the suggested threshold cuts `max_good_lost` of the good at most.

    Returns:
        `languages` (AUCs, threshold, reliability, or a note why not) and `sources` (mean score of each
        set).
    """
    languages = sorted({s.reference.lang for s in scored})
    return {
        "languages": {lang: _language(lang, scored, max_good_lost) for lang in languages},
        "sources": [_source(s) for s in scored],
    }


def _source(scored: Scored) -> dict[str, Any]:
    reference = scored.reference
    return {
        "name": reference.name,
        "source": reference.source,
        "lang": reference.lang,
        "label": reference.label,
        "corrupt": reference.corrupt,
        "held_out": reference.held_out,
        "examples": len(scored.examples),
        "documents": len(scored.documents),
        "mean_example_score": _rounded(scored.examples.mean(dtype=np.float64)),
        "mean_document_score": _mean(scored.documents),
    }


def _language(lang: str, scored: Sequence[Scored], max_good_lost: float) -> dict[str, Any]:
    held_out = [s for s in scored if s.reference.held_out and s.reference.lang == lang]
    good = [s for s in held_out if s.reference.label == "good"]
    bad = [s for s in held_out if s.reference.label == "bad"]
    missing = [label for label, sets in (("good", good), ("bad", bad)) if not sets]
    if missing:
        wanted = " and ".join(missing)
        return {"note": f"not measured: no held-out set of language {lang!r} is labelled {wanted}"}
    examples = [np.concatenate([s.examples for s in side]) for side in (good, bad)]
    alone = [np.concatenate([s.alone for s in side]) for side in (good, bad)]
    documents = [np.concatenate([s.documents for s in side]) for side in (good, bad)]
    threshold = float(np.quantile(examples[0], max_good_lost, method="lower"))
    return {
        "auc_examples": _rounded(auc(*examples)),
        "auc_alone": _rounded(auc(*alone)),
        "auc_documents": _auc(*documents),
        "examples": {"good": len(examples[0]), "bad": len(examples[1])},
        "documents": {"good": len(documents[0]), "bad": len(documents[1])},
        "by_bad_source": {
            s.reference.name: {
                "auc_examples": _rounded(auc(examples[0], s.examples)),
                "auc_alone": _rounded(auc(alone[0], s.alone)),
                "auc_documents": _auc(documents[0], s.documents),
            }
            for s in bad
        },
        "pages": _pages(good, bad, threshold),
        "suggested_cut": {
            "threshold": _rounded(threshold),
            "good_examples_below": _rounded((examples[0] < threshold).mean()),
            "bad_examples_below": _rounded((examples[1] < threshold).mean()),
        },
        "reliability": _reliability(*examples),
    }


def _pages(good: Sequence[Scored], bad: Sequence[Scored], threshold: float) -> dict[str, dict[str, float]]:
    """Main content against the rest of the same pages: how well it is told apart, and what the suggested cut takes."""
    main = {s.reference.source: s for s in good if s.reference.inside}
    return {
        rest.reference.source: {
            "auc_examples": _rounded(auc(main[rest.reference.source].examples, rest.examples)),
            "main_below": _rounded((main[rest.reference.source].examples < threshold).mean()),
            "rest_below": _rounded((rest.examples < threshold).mean()),
        }
        for rest in bad
        if rest.reference.outside and rest.reference.source in main
    }


def _auc(good: Floats, bad: Floats) -> float | None:
    return _rounded(auc(good, bad)) if len(good) and len(bad) else None


def _mean(scores: Floats) -> float | None:
    return _rounded(scores.mean(dtype=np.float64)) if len(scores) else None


def _reliability(good: Floats, bad: Floats) -> list[dict[str, float]]:
    """Per tenth of the score: its mean, and the share that is good if both labels weighed the same."""
    bins = []
    for k in range(_BINS):
        low, high = k / _BINS, (k + 1) / _BINS if k + 1 < _BINS else 2.0
        inside = [side[(side >= low) & (side < high)] for side in (good, bad)]
        weights = [len(inside[0]) / len(good), len(inside[1]) / len(bad)]
        if sum(weights):
            total = sum(float(part.sum(dtype=np.float64)) / len(s) for part, s in zip(inside, (good, bad), strict=True))
            bins.append({"mean_score": _rounded(total / sum(weights)), "good": _rounded(weights[0] / sum(weights))})
    return bins


def _rounded(value: float | np.floating[Any]) -> float:
    return round(float(value), 6)
