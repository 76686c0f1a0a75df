"""Heads over words, form and neighbours: small models on top of the word model that score a sentence.

A head adds up points: for the log-odds that the words give, for each number of `sentence_form` by the interval that it
falls in (so that too short and too long can both be bad), and then for the mean of the neighbours, since menus stand
among menus and prose among prose. There are two heads, one for sentences in scripts without spaces (Chinese, Japanese)
and one for all others, as so many commas a token mean different things in the two; a sentence's own characters choose
its head.

A head is additive and can be read. Trees or a small network would see interactions and cost more than all the rest;
with points and neighbours the aims are met (`benchmarks/filters/quality_model.py`).

Cost: some 40 look-ups a sentence; the pass of `sentence_form` is the larger part. Source: logistic regression over
binned features as in generalised additive models (Hastie and Tibshirani 1986); for the neighbours Kohlschütter et al.
2010, section 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from filters.quality.form import FORM
from tamis.kernels import kernel

Floats = npt.NDArray[np.float32]
UNSPACED_FROM = 0.3
"""Share of characters that are tokens by themselves from which on the head for scripts without spaces is used."""
WINDOW, PRIOR = 3, 2.0
"""Neighbours on either side, and how many neutral ones are added to their mean."""
LIMIT = 1e-6
"""Probabilities are clipped to stay this far from 0 and 1."""


@dataclass(frozen=True, slots=True, eq=False)
class SentenceHeads:
    """Two heads: 0 for scripts with spaces, 1 for those without."""

    edges: Floats  # [n_features, n_edges], ascending, the intervals' bounds; infinite where there are fewer
    points: Floats  # [2, n_features, n_edges + 1], of a value in each interval
    own: Floats  # [2, 2], of a sentence alone: a constant, and the weight of the words' log-odds
    joint: Floats  # [2, 3], of a sentence among its neighbours: a constant, its own weight, theirs


def head_of(form: Floats) -> npt.NDArray[np.int64]:
    """Which head scores each sentence, int64[n]."""
    return (form[:, FORM.share_single] >= np.float32(UNSPACED_FROM)).astype(np.int64)


def log_odds(probability: Floats) -> Floats:
    """The log-odds of the words' probability, float32[n], finite; 0 where that is 0: no word is known."""
    known = np.where(probability == 0, 0.5, probability.astype(np.float64))
    held = np.clip(known, LIMIT, 1 - LIMIT)
    return np.log(held / (1 - held)).astype(np.float32)


def own_scores(heads: SentenceHeads, words: Floats, form: Floats) -> Floats:
    """The log-odds of each sentence by itself, float32[n], from those of its words and its `sentence_form`."""
    found: Floats = _own(words, form, head_of(form), heads.edges, heads.points, heads.own)
    return found


def neighbours(own: Floats, ptr: npt.NDArray[np.int64]) -> Floats:
    """The mean log-odds of the sentences around each one, in its document, drawn towards 0 where they are few:
    float32[n]. Document i owns the sentences `ptr[i]:ptr[i + 1]`.
    """
    found: Floats = _neighbours(own, ptr, WINDOW, PRIOR)
    return found


def joint_scores(heads: SentenceHeads, own: Floats, form: Floats, ptr: npt.NDArray[np.int64]) -> Floats:
    """The probability that each sentence is good, given its neighbours too; float32[n]."""
    found: Floats = _joint(own, neighbours(own, ptr), head_of(form), heads.joint)
    return found


@kernel
def intervals(form, edges):  # type: ignore[no-untyped-def]
    """The interval of each value: how many of its feature's edges lie below it; uint8[n, n_features]."""
    out = np.zeros(form.shape, np.uint8)
    for i in range(form.shape[0]):
        for j in range(form.shape[1]):
            out[i, j] = _interval(form[i, j], edges, j)
    return out


@kernel(inline="always")
def _interval(value, edges, j):  # type: ignore[no-untyped-def]
    """How many edges lie below a value: all are compared, as a mispredicted branch costs more."""
    below = np.int32(0)
    for k in range(edges.shape[1]):
        below += np.int32(value > edges[j, k])
    return below


@kernel
def _own(words, form, head, edges, points, own):  # type: ignore[no-untyped-def]
    out = np.empty(len(words), np.float32)
    for i in range(len(words)):
        h = head[i]
        total = np.float64(own[h, 0]) + np.float64(own[h, 1]) * words[i]
        for j in range(form.shape[1]):
            total += points[h, j, _interval(form[i, j], edges, j)]
        out[i] = total
    return out


@kernel
def _joint(own, near, head, joint):  # type: ignore[no-untyped-def]
    out = np.empty(len(own), np.float32)
    for i in range(len(own)):
        h = head[i]
        total = np.float64(joint[h, 0]) + np.float64(joint[h, 1]) * own[i] + np.float64(joint[h, 2]) * near[i]
        out[i] = 1.0 / (1.0 + np.exp(-total))
    return out


@kernel
def _neighbours(own, ptr, window, prior):  # type: ignore[no-untyped-def]
    out = np.zeros(len(own), np.float32)
    for d in range(len(ptr) - 1):
        for i in range(ptr[d], ptr[d + 1]):
            total, count = 0.0, prior
            for k in range(max(ptr[d], i - window), min(ptr[d + 1], i + window + 1)):
                if k != i:
                    total += own[k]
                    count += 1.0
            out[i] = total / count
    return out
