"""The loop behind `filters.language.detect`: judges a document's lines and the whole document, by model and script.

One pass over the sample serves both. fastText's mean is a sum over words, so the sum of a document is the sum of its
lines (except that U+0085, U+2028 and U+2029 divide words here and not in fastText): each line is summed by itself,
judged, and added. A line is judged from the part of it that lies in the sample. Judging costs little, as neighbouring
lines mostly agree: the language of the line before is tried first, and if it has more than half of the probability, no
search is needed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from filters.language.label_tree import best_leaf, leaf_score
from filters.language.lid_kernels import add_words, stretch
from filters.language.scripts import HAN, HANZI, N_COUNTS, OTHER, main_script, read_line
from tamis.kernels import kernel

MOST = 0.75
"""A script decides a text's language when this share of its letters' bytes is of it."""
SURE = 0.9
"""The model's least probability of another language in Han characters."""
HALF = np.log(0.51)
"""A language above this log probability is the likeliest: half, and room for the 1e-5 that fastText adds a node."""
HARDLY = np.log(0.01)
"""A language in Han characters of a smaller log probability than this is not looked at further."""


class ScriptRules(NamedTuple):
    """What a text's script says about its language, for a model's labels."""

    scripts: npt.NDArray[np.uint8]  # [TABLE_SIZE], see `filters.language.scripts.script_table`
    allowed: npt.NDArray[np.bool_]  # [n_scripts, n_labels], languages written in a script; row 0 is all
    only: npt.NDArray[np.int16]  # [n_scripts], the one language of a script, -1 where there are several
    chinese: int  # the label "zh", -1 if the model has none
    others: npt.NDArray[np.int16]  # [k], the other languages in Han characters
    japanese: int  # the label "ja", which needs kana or characters that Japanese has; -1 if the model has none


@kernel
def judge(mean, letters, rules, tables, hint, stack, scores):  # type: ignore[no-untyped-def]
    """The language of a text and its score, from the mean of its rows and its letters by script.

    `hint` is a label that is tried first, or -1; the answer does not depend on it.
    """
    nodes = tables.nodes
    script, share = main_script(letters)
    if share < MOST or script == OTHER:
        script = 0
    if rules.only[script] >= 0:
        return rules.only[script], share
    if script == HAN and rules.chinese >= 0:
        other, most = np.int16(-1), 0.0
        for label in rules.others:
            if label == rules.japanese and letters[HANZI] > 0:
                continue
            p = np.exp(leaf_score(mean, nodes, tables.paths[label], HARDLY))
            if p > most:
                other, most = label, p
        return (other, min(1.0, most)) if most >= SURE else (np.int16(rules.chinese), share * (1.0 - most))
    if hint >= 0 and rules.allowed[script, hint]:
        score = leaf_score(mean, nodes, tables.paths[hint], HALF)
        if score > HALF:
            return np.int16(hint), min(1.0, np.exp(score))
    label, score = best_leaf(mean, nodes, tables.children, rules.allowed[0], stack, scores)
    if not rules.allowed[script, label]:
        label, score = best_leaf(mean, nodes, tables.children, rules.allowed[script], stack, scores)
    return np.int16(label), min(1.0, np.exp(score))


@kernel(inline="always")
def _mean(total, used, tables, out):  # type: ignore[no-untyped-def]
    """The mean of `used` rows and that of `</s>`."""
    end = tables.end_row
    for k in range(len(total)):
        out[k] = (total[k] + tables.vectors[end, k]) / (used + 1) if end >= 0 else total[k] / max(used, 1)


@kernel(inline="always")
def _add(more, out):  # type: ignore[no-untyped-def]
    for k in range(len(out)):
        out[k] += more[k]


@kernel
def detect_texts(offsets, data, sample, pieces, line_letters, line_score, rules, tables):  # type: ignore[no-untyped-def]
    """The language of each text, and how far its lines agree.

    Args:
        offsets: int64[n_texts + 1].
        data: uint8[...].
        sample: bytes of a text that are read, at least 1.
        pieces: stretches that a longer text's sample consists of, at least 1.
        line_letters: bytes of letters that a line needs to be judged.
        line_score: least score of a line that counts.
        rules: see `ScriptRules`.
        tables: the model.

    Returns:
        codes: int16[n_texts], a label, or the number of labels where the sample has no letter; scores:
            float32[n_texts]; letters: int32[n_texts], bytes of the sample's letters; shares: float32[n_texts], which
            part of the letters in lines that count is in lines of the text's language, NaN where no line counts;
            seconds: int16[n_texts], the language with most of the other letters, -1 where there are none.
    """
    n, n_labels, dim = len(offsets) - 1, len(tables.nodes) + 1, tables.vectors.shape[1]
    codes, scores = np.full(n, n_labels, np.int16), np.zeros(n, np.float32)
    letters, shares, seconds = np.zeros(n, np.int32), np.full(n, np.nan, np.float32), np.full(n, -1, np.int16)
    total, line, mean = np.zeros(dim, np.float32), np.zeros(dim, np.float32), np.zeros(dim, np.float32)
    by_script, line_by_script = np.zeros(N_COUNTS, np.int64), np.zeros(N_COUNTS, np.int64)
    by_label = np.zeros(n_labels, np.int64)
    stack, stack_scores = np.empty(n_labels + 1, np.int32), np.empty(n_labels + 1, np.float64)
    word = np.empty(sample + 2, np.uint8)
    hint = np.int16(-1)  # from one text to the next too: no answer depends on it
    for d in range(n):
        text = data[offsets[d] : offsets[d + 1]]
        parts = 1 if len(text) <= sample else pieces
        size = min(len(text), sample // parts)
        total[:] = 0.0
        by_script[:] = 0
        by_label[:] = 0
        label, score = np.int16(-1), 0.0
        used, same = 0, False
        for part in range(parts):
            start, end = stretch(text, part, parts, size)
            while start < end:
                line_by_script[:] = 0
                stop, behind, weight = read_line(text, start, end, rules.scripts, line_by_script)
                line[:] = 0.0
                line_used = add_words(text[start:stop], tables, word, line)
                start = behind
                _add(line, total)
                _add(line_by_script, by_script)
                used += line_used
                letters[d] += weight
                same = False
                if weight >= line_letters:
                    _mean(line, line_used, tables, mean)
                    label, score = judge(mean, line_by_script, rules, tables, hint, stack, stack_scores)
                    same = used == line_used and letters[d] == weight
                    if score >= line_score:
                        by_label[label] += weight
                        hint = label
        if letters[d] == 0:
            continue
        if not same:  # else the text is one line
            _mean(total, used, tables, mean)
            label, score = judge(mean, by_script, rules, tables, hint, stack, stack_scores)
        codes[d], scores[d] = label, score
        shares[d], seconds[d] = _agreement(by_label, codes[d])
    return codes, scores, letters, shares, seconds


@kernel
def _agreement(by_label, code):  # type: ignore[no-untyped-def]
    """The share of `code` in the counts, and the most frequent other label."""
    second, most, total = -1, 0, 0
    for label in range(len(by_label)):
        total += by_label[label]
        if label != code and by_label[label] > most:
            second, most = label, by_label[label]
    return (by_label[code] / total if total > 0 else np.nan), second
