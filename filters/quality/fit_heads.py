"""Fits the heads of a sentence model on sources that its word model was not trained on.

A word model is overconfident about texts that it was trained on, and heads fitted on such scores would trust it too
much. So for each fold a word model is trained without a part of the sources, and scores that part: the heads learn from
scores of unseen text, as they will meet them in use.

A head is two logistic regressions, one after the other: over words and form, then over the result and the mean of the
neighbours. A set is weighted by the square root of its size, so that a big one does not decide alone.

Cost: as many word models as there are folds, at most five; then some 20 passes over the examples, which take 350 bytes
each. Source: stacked generalisation (Wolpert 1992); iteratively reweighted least squares (Nelder and Wedderburn 1972).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from filters.linear.model import LinearModel, score_spans
from filters.quality.form import sentence_form
from filters.quality.heads import Floats, SentenceHeads, head_of, intervals, log_odds, neighbours, own_scores
from filters.quality.references import Examples

FOLDS = 5
LEAST_SOURCES = 3
"""Of each label and language: with fewer, a word model trained without one of them knows too little of the rest."""
EDGES = 10
RIDGE = 5.0
"""Penalty of squared weights: keeps the points of rare intervals small."""
LEAST_EXAMPLES = 200
"""Examples of each label that a head needs; with fewer it is fitted on the sentences of all scripts."""

Int64 = npt.NDArray[np.int64]
Chosen = Sequence[Sequence[int]]
Fit = Callable[[Chosen], LinearModel]
Batch = tuple[Floats, npt.NDArray[np.bool_], float, float]
"""A design matrix in two parts, numbers and flags; the label of all its rows; their weight."""


@dataclass(frozen=True, slots=True)
class _Set:
    """A reference set as the heads see it."""

    words: Floats  # [n_spans], log-odds by a word model that was not trained on the document
    form: Floats  # [n_spans, n_features]
    head: Int64  # [n_spans]
    rows: Int64  # [n_chosen], the examples
    ptr: Int64  # [n_docs + 1]
    good: bool


def fit_heads(examples: Sequence[Examples], chosen: Chosen, fit: Fit) -> SentenceHeads:
    """Fits both heads, on the sets that are not held out. `chosen` holds for each set the indices of its training
    examples, into `lines`; `fit` trains a word model on such a choice.
    """
    unseen = out_of_fold(examples, chosen, fit)
    sets = []
    for e, picks, words in zip(examples, chosen, unseen, strict=True):
        if words is not None and len(picks):
            form = sentence_form(e.spans.as_column(e.column))
            rows = e.kept[np.array(picks, np.int64)]
            sets.append(_Set(words, form, head_of(form), rows, e.spans.ptr, e.reference.label == "good"))
    edges = _edges(np.concatenate([s.form[s.rows] for s in sets]))
    width = edges.shape[0] * (edges.shape[1])
    points = np.zeros((2, edges.shape[0], edges.shape[1] + 1), np.float32)
    own, joint = np.zeros((2, 2), np.float32), np.zeros((2, 3), np.float32)
    for head in (0, 1):
        weights = _logistic(list(_own_batches(sets, edges, head)), 2 + width)
        own[head] = weights[:2]
        points[head, :, 1:] = np.cumsum(weights[2:].reshape(edges.shape), axis=1)
    alone = SentenceHeads(edges, points, own, joint)
    scores = [own_scores(alone, s.words, s.form) for s in sets]
    for head in (0, 1):
        joint[head] = _logistic(list(_joint_batches(sets, scores, head)), 3)
    return SentenceHeads(edges, points, own, joint)


def out_of_fold(examples: Sequence[Examples], chosen: Chosen, fit: Fit) -> list[Floats | None]:
    """The log-odds of every sentence by a word model trained without its source; None for sets that are held out."""
    folds = _folds(examples)
    found: list[Floats | None] = [None] * len(examples)
    for fold in sorted({f for f in folds if f is not None}):
        model = fit([[] if f == fold else picks for picks, f in zip(chosen, folds, strict=True)])
        for i, (e, f) in enumerate(zip(examples, folds, strict=True)):
            if f == fold:
                found[i] = log_odds(score_spans(model, e.column, e.spans))
    return found


def _folds(examples: Sequence[Examples]) -> list[int | None]:
    """The fold of each set, the one with fewest sources of its language and label so far; None for those held out."""
    sides: dict[tuple[str, str], list[str]] = {}
    for e in examples:
        if not e.reference.held_out:
            sources = sides.setdefault((e.reference.lang, e.reference.label), [])
            if e.reference.source not in sources:
                sources.append(e.reference.source)
    fold: dict[str, int] = {}
    for sources in sides.values():
        for source in sources:
            if source not in fold:
                taken = [fold[s] for s in sources if s in fold]
                fold[source] = min(range(FOLDS), key=lambda k: (taken.count(k), k))
    return [None if e.reference.held_out else fold[e.reference.source] for e in examples]


def _edges(form: Floats) -> Floats:
    """Bounds of intervals with equally many examples; float32[n_features, EDGES], infinite where values repeat."""
    edges = np.full((form.shape[1], EDGES), np.inf, np.float32)
    for j in range(form.shape[1]):
        cuts = np.unique(np.quantile(form[:, j], np.linspace(0.05, 0.95, EDGES), method="lower"))
        cuts = cuts[cuts < form[:, j].max()]
        edges[j, : len(cuts)] = cuts
    return edges


def _examples_of(s: _Set, head: int, sets: Sequence[_Set]) -> Int64:
    """The examples that a head is fitted on: its own, or all where it has too few of a label."""
    for good in (False, True):
        if sum(int((t.head[t.rows] == head).sum()) for t in sets if t.good == good) < LEAST_EXAMPLES:
            return s.rows
    return s.rows[s.head[s.rows] == head]


def _own_batches(sets: Sequence[_Set], edges: Floats, head: int) -> Iterator[Batch]:
    steps = np.arange(1, edges.shape[1] + 1)
    for s in sets:
        rows = _examples_of(s, head, sets)
        if len(rows):
            passed = (intervals(s.form[rows], edges)[:, :, None] >= steps).reshape(len(rows), -1)
            numbers = np.stack([np.ones(len(rows), np.float32), s.words[rows]], axis=1)
            yield numbers, passed, float(s.good), 1 / np.sqrt(len(rows))


def _joint_batches(sets: Sequence[_Set], scores: Sequence[Floats], head: int) -> Iterator[Batch]:
    for s, own in zip(sets, scores, strict=True):
        rows = _examples_of(s, head, sets)
        if len(rows):
            near = neighbours(own, s.ptr)
            numbers = np.stack([np.ones(len(rows), np.float32), own[rows], near[rows]], axis=1)
            yield numbers, np.zeros((len(rows), 0), np.bool_), float(s.good), 1 / np.sqrt(len(rows))


def _logistic(batches: Sequence[Batch], width: int) -> npt.NDArray[np.float64]:
    """The weights of a ridge logistic regression, the first of them a constant; float64[width]."""
    scale = sum(weight * len(numbers) for numbers, _, _, weight in batches)
    size = sum(len(numbers) for numbers, _, _, _ in batches)
    weights = np.zeros(width)
    ridge = np.full(width, RIDGE)
    ridge[0] = 1e-6
    for _ in range(25):
        gradient, curvature = -ridge * weights, np.diag(ridge)
        for numbers, flags, label, weight in batches:
            design = np.concatenate([numbers, flags], axis=1, dtype=np.float64)
            p = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
            share = weight * size / scale
            gradient += share * (design.T @ (label - p))
            curvature += (design * (share * p * (1 - p))[:, None]).T @ design
        step = np.linalg.solve(curvature, gradient)
        weights += step
        if np.abs(step).max() < 1e-6:
            break
    return weights
