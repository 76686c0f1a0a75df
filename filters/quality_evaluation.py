"""How good a sentence-quality model is on sources it has never seen.

The area under the ROC curve needs no threshold and no class shares: it is the chance that a good text scores
above a bad one. It is given per language, for single examples and for whole documents, over all bad sources
and for each apart, because a pooled figure hides the source that the model does not see through. What cannot
be measured is said in words.

Cost: a sort of the held-out scores.
Source: Mann and Whitney 1947; Hanley and McNeil 1982 (the area as a rank statistic).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from filters.linear import LinearModel, score_spans
from filters.quality_references import Examples, ReferenceSet
from filters.sentence_quality import document_quality

Floats = npt.NDArray[np.floating[Any]]
_BINS = 10


@dataclass(frozen=True, slots=True)
class Scored:
    """A reference set's scores.

    Attributes:
        reference: the set.
        examples: float32[n_kept], the score of each example with enough tokens.
        documents: float32[n_docs], of each document that is not empty.
    """

    reference: ReferenceSet
    examples: npt.NDArray[np.float32]
    documents: npt.NDArray[np.float32]


def score_examples(model: LinearModel, examples: Examples) -> Scored:
    """Scores a set as the pipeline would score its documents."""
    scores = score_spans(model, examples.column, examples.spans)
    lengths = examples.spans.ends(examples.column).astype(np.int64) - examples.spans.starts
    documents = document_quality(scores, lengths, examples.spans.ptr)
    return Scored(examples.reference, scores[examples.kept], documents[np.diff(examples.spans.ptr) > 0])


def auc(good: Floats, bad: Floats) -> float:
    """The chance that a good score is above a bad one, ties counting half.

    Args:
        good: float[n_good], not empty.
        bad: float[n_bad], not empty.

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
    """The evaluation of a model on its held-out sets.

    Args:
        scored: every set, trained on or held out.
        max_good_lost: share of held-out good examples that the suggested threshold may cut.

    Returns:
        ``languages`` (AUCs, threshold, reliability, or a note why not) and ``sources`` (mean score of each
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
        "name": reference.name, "source": reference.source, "lang": reference.lang, "label": reference.label,
        "corrupt": reference.corrupt, "held_out": reference.held_out,
        "examples": len(scored.examples), "documents": len(scored.documents),
        "mean_example_score": _rounded(scored.examples.mean(dtype=np.float64)),
        "mean_document_score": _rounded(scored.documents.mean(dtype=np.float64)),
    }  # fmt: skip


def _language(lang: str, scored: Sequence[Scored], max_good_lost: float) -> dict[str, Any]:
    held_out = [s for s in scored if s.reference.held_out and s.reference.lang == lang]
    good = [s for s in held_out if s.reference.label == "good"]
    bad = [s for s in held_out if s.reference.label == "bad"]
    missing = [label for label, sets in (("good", good), ("bad", bad)) if not sets]
    if missing:
        wanted = " and ".join(missing)
        return {"note": f"not measured: no held-out set of language {lang!r} is labelled {wanted}"}
    examples = [np.concatenate([s.examples for s in side]) for side in (good, bad)]
    documents = [np.concatenate([s.documents for s in side]) for side in (good, bad)]
    threshold = float(np.quantile(examples[0], max_good_lost, method="lower"))
    return {
        "auc_examples": _rounded(auc(*examples)),
        "auc_documents": _rounded(auc(*documents)),
        "examples": {"good": len(examples[0]), "bad": len(examples[1])},
        "documents": {"good": len(documents[0]), "bad": len(documents[1])},
        "by_bad_source": {
            s.reference.name: {
                "auc_examples": _rounded(auc(examples[0], s.examples)),
                "auc_documents": _rounded(auc(documents[0], s.documents)),
            }
            for s in bad
        },
        "suggested_cut": {
            "threshold": _rounded(threshold),
            "good_examples_below": _rounded((examples[0] < threshold).mean()),
            "bad_examples_below": _rounded((examples[1] < threshold).mean()),
        },
        "reliability": _reliability(*examples),
    }


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
