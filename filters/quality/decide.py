"""From sentence scores to decisions: a document's quality, and which of its sentences are cut.

Pure functions over arrays; the scores come from `filters.linear.model`, the sentences from `text.segment`. A cap bounds
what may be cut of a document, because a document that is bad throughout should be dropped for its quality by a rule
that says so, not be cut to a fragment by a rule about sentences. Fenced code is never
cut: the model has not learned code.

Cost: linear, and a sort of the few sentences below the threshold.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from corpus.config import StrictModel, setting
from tamis.kernels import kernel
from text.arrow import TextColumn
from text.segment import Spans


class SentenceQualityDecision(StrictModel):
    """When a sentence is cut.

    The model's `evaluation.json` suggests a threshold at which 2 % of held-out good sentences are lost: 0.39 for
    English and 0.04 for Chinese with `benchmarks/shared_references.yaml`, which has heads; with them and without a
    cap the default takes of web pages 1 % (English) and 9 % (Chinese) of the main content, and 33 and 42 % of the rest.
    The report's sentence step removes 3.06 % of raw text in all (Baichuan 2, arXiv:2309.10305, figure 2).
    """

    threshold: float = setting(
        0.05, "A sentence that scores less may be cut.", unit="score", source="ours, measured", ge=0, le=1
    )
    max_cut_fraction: float = setting(
        0.3,
        "Largest share of a document's bytes that is cut; beyond a third, the rest no longer reads as the document.",
        unit="share",
        source="ours",
        ge=0,
        le=1,
    )
    min_sentence_chars: int = setting(
        10, "Shorter sentences are left: few tokens tell a linear model little.", unit="characters", source="ours", ge=0
    )
    min_document_quality: float = setting(0.0, "A document of lower mean score is dropped.", unit="score", ge=0, le=1)


def document_quality(
    scores: npt.NDArray[np.float32], lengths: npt.NDArray[np.int64], ptr: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """The mean score of a document's sentences, weighted by length (bytes or characters): float32[n_docs], 0 without
    sentences.

    `scores` is float32[n_spans], a NaN counts as no sentence; document i owns the spans `ptr[i]:ptr[i + 1]`.
    """
    return _document_quality(scores, lengths, ptr)


def sentence_facts(
    column: TextColumn, spans: Spans, chosen: npt.NDArray[np.int64] | None = None
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
    """What a decision about sentences needs beside their scores, so that it need not read the text; of the spans
    `chosen`, int64[k] ascending, or of all.

    Returns:
        chars: int32[k], characters without the white space at the ends; fenced: bool[k], True where a sentence
        overlaps fenced code.
    """
    wanted = np.arange(len(spans.starts), dtype=np.int64) if chosen is None else chosen
    chars, fenced = _facts(spans.ptr, spans.starts, column.offsets, column.data, wanted)
    return chars, fenced


def choose_cuts(
    scores: npt.NDArray[np.float32],
    sizes: npt.NDArray[np.int64],
    chars: npt.NDArray[np.int32],
    fenced: npt.NDArray[np.bool_],
    ptr: npt.NDArray[np.int64],
    total: npt.NDArray[np.int64],
    decision: SentenceQualityDecision,
) -> npt.NDArray[np.bool_]:
    """Which sentences are cut, bool[n_spans]: those below the threshold, the worst first, as far as the cap goes.

    A sentence that would break the cap is passed over and the next worst tried. Equal scores go by position, the first
    one first. A NaN is never cut; sentences that cannot be below the threshold may be left out. `sizes` and `total` are
    bytes of a sentence and of a document; document i owns the spans `ptr[i]:ptr[i + 1]`.

    Raises:
        ValueError: there is not one score a span.
    """
    if len(scores) != ptr[-1]:
        raise ValueError(f"{len(scores)} scores for {ptr[-1]} spans")
    return _choose(
        scores,
        sizes,
        chars,
        fenced,
        ptr,
        total,
        np.float32(decision.threshold),
        decision.max_cut_fraction,
        decision.min_sentence_chars,
    )


@kernel
def _document_quality(scores, lengths, ptr):  # type: ignore[no-untyped-def]
    out = np.zeros(len(ptr) - 1, np.float32)
    for d in range(len(ptr) - 1):
        total = 0.0
        weight = 0.0
        for s in range(ptr[d], ptr[d + 1]):
            if not np.isnan(scores[s]):
                total += scores[s] * lengths[s]
                weight += lengths[s]
        if weight > 0:
            out[d] = total / weight
    return out


@kernel
def _facts(ptr, starts, offsets, data, chosen):  # type: ignore[no-untyped-def]
    chars = np.zeros(len(chosen), np.int32)
    fenced = np.zeros(len(chosen), np.bool_)
    at = 0
    for d in range(len(ptr) - 1):
        low, high = ptr[d], ptr[d + 1]
        first = at
        while at < len(chosen) and chosen[at] < high:
            at += 1
        if at == first:
            continue
        text = data[offsets[d] : offsets[d + 1]]
        for c in range(first, at):
            s = chosen[c]
            end = starts[s + 1] if s + 1 < high else len(text)
            chars[c] = _chars(text[starts[s] : end])
        if _may_hold_fence(text):
            inside = _in_fence(text, starts[low:high])
            for c in range(first, at):
                fenced[c] = inside[chosen[c] - low]
    return chars, fenced


@kernel
def _may_hold_fence(text):  # type: ignore[no-untyped-def]
    """Whether three ` or ~ stand side by side anywhere: every third byte is looked at."""
    for i in range(2, len(text), 3):
        b = text[i]
        if (b == 96 or b == 126) and _run_around(text, i) >= 3:
            return True
    return False


@kernel
def _run_around(text, i):  # type: ignore[no-untyped-def]
    low, high = i, i + 1
    while low > 0 and text[low - 1] == text[i]:
        low -= 1
    while high < len(text) and text[high] == text[i]:
        high += 1
    return high - low


@kernel
def _choose(scores, sizes, chars, fenced, ptr, total, threshold, max_cut_fraction, min_chars):  # type: ignore[no-untyped-def]
    out = np.zeros(len(scores), np.bool_)
    for d in range(len(ptr) - 1):
        low, high = ptr[d], ptr[d + 1]
        below = low + np.flatnonzero(scores[low:high] < threshold)
        room = max_cut_fraction * total[d]
        for j in np.argsort(scores[below], kind="mergesort"):
            s = below[j]
            if sizes[s] > room or fenced[s] or chars[s] < min_chars:
                continue
            out[s] = True
            room -= sizes[s]
    return out


@kernel
def _chars(text):  # type: ignore[no-untyped-def]
    """Characters without ASCII white space at the ends."""
    low, high = 0, len(text)
    while low < high and (text[low] == 32 or 9 <= text[low] <= 13):
        low += 1
    while high > low and (text[high - 1] == 32 or 9 <= text[high - 1] <= 13):
        high -= 1
    n = 0
    for i in range(low, high):
        n += (text[i] & 0xC0) != 0x80
    return n


@kernel
def _in_fence(text, starts):  # type: ignore[no-untyped-def]
    """Which spans overlap fenced code, the fences' own lines included.

    A fence is a line that begins, after white space, with three or more ` or ~; it is closed by the next such
    line of the same character. One that nothing closes is no fence, as in `text.segment`.
    """
    out = np.zeros(len(starts), np.bool_)
    unclosed = False, False
    begin = 0
    s = 0
    while begin < len(text):
        mark = _fence_mark(text, begin)
        behind = _next_line(text, begin)
        if mark == 0 or unclosed[mark - 1]:
            begin = behind
            continue
        line = behind
        while line < len(text) and _fence_mark(text, line) != mark:
            line = _next_line(text, line)
        if line >= len(text):
            unclosed = (unclosed[0] or mark == 1, unclosed[1] or mark == 2)
            begin = behind
            continue
        end = _next_line(text, line)
        while s + 1 < len(starts) and starts[s + 1] <= begin:
            s += 1
        while s < len(starts) and starts[s] < end:
            out[s] = True
            s += 1
        s = max(s - 1, 0)
        begin = end
    return out


@kernel
def _next_line(text, i):  # type: ignore[no-untyped-def]
    while i < len(text) and text[i] != 10:
        i += 1
    return i + 1


@kernel
def _fence_mark(text, i):  # type: ignore[no-untyped-def]
    """1 where the line at `i` begins with three `, 2 for three ~, else 0."""
    while i < len(text) and (text[i] == 32 or text[i] == 9):
        i += 1
    if i + 2 >= len(text) or text[i] != text[i + 1] or text[i] != text[i + 2]:
        return 0
    return 1 if text[i] == 96 else (2 if text[i] == 126 else 0)
