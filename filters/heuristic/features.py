"""What the heuristic filter sees of a document: named features, from one scan.

Features are evidence and know no threshold, so a changed threshold never repeats the scan. The features of all rules
come from one pass over the bytes (characters, words, lines, paragraphs) and one over the units of n-grams; filter
libraries make one pass for each rule. No word ever becomes a Python object.

A **word** is a run without white space (a tokenizer that splits punctuation off counts 10 to 15 % more of them). A
**line** ends as in `text.segment` and counts if it holds more than white space; it is compared stripped. A
**paragraph** is a run of such lines without a blank one between. N-grams are of words. Where 3 in 10 or more of the
characters in words are of scripts without spaces (Han, Kana, Thai, Lao, Khmer, Myanmar), an n-gram is 2 n tokens, each
a single character or a run of other letters and digits, since a Chinese word has some two characters. A character is a
code point.

Cost: linear; 105 to 160 MB/s a core on English, 105 to 200 on Chinese (`benchmarks.filters.heuristic_speed`).

Source: Rae et al. 2021 (Gopher), appendix A1.1; Raffel et al. 2020 (C4), § 2.2; Penedo et al. 2024 (FineWeb), § 3.6;
counting as in datatrove's filters, which divide by all characters of the text. Deviations: lines without text do not
count, lines are compared and measured stripped, stop words are matched in any case and inside punctuation, and a top
n-gram must occur twice. A test holds the decisions to datatrove's (`tests/unit/filters/heuristic/test_parity.py`).
"""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import numpy as np
import numpy.typing as npt

from filters.character_marks import load_marks
from filters.heuristic import counting as c
from filters.heuristic.repetition import duplicates, gram_repetition, make_scratch
from tamis.kernels import kernel
from text.arrow import TextColumn

SPACED, CJK, OTHER = 0, 1, 2
"""Values of the feature `profile`: which rules apply."""

COUNTS = {
    "profile": "1 cjk: of letters, marks and numbers 3 in 10 or more are Han or Kana; else 0 spaced: half"
    " of the letters or more are Latin, or there are none; else 2 other",
    "chars": "characters",
    "text_chars": "characters that are not white space",
    "words": "words that hold more than punctuation and symbols",
    "lines": "lines that hold more than white space",
    "stop_words": "how many of Gopher's 8 stop words occur, of any case, ASCII signs around them cut off",
    "sentences": "sentence ends, and ends of lines with text behind the last of those",
    "cjk_chars": "Han and Kana",
    "foreign_run": "the longest run of characters that are neither",
    "long_lines": f"lines of {c.LONG_LINE_CHARS} characters or more",
    "lorem_ipsum": "occurrences of it, in any case",
    "curly_brackets": "opening ones",
}
"""int32 features."""

RATIOS = {
    "mean_word_chars": "mean length of those words, in characters",
    "symbol_word_ratio": "# or ellipses (... and …), whichever is more, per word of any kind",
    "bullet_line_ratio": "lines that start with a bullet, - or *",
    "ellipsis_line_ratio": "lines that end with an ellipsis",
    "alpha_word_ratio": "words of any kind that hold a letter",
    "cjk_ratio": "Han and Kana, of characters that are not white space",
    "punctuation_ratio": "punctuation, of characters that are not white space",
    "digit_ratio": "numbers, of characters that are not white space",
    "terminal_line_ratio": "lines whose last character is one of . ! ? 。！？, so that a closing quote is none",
    "terminal_line_char_ratio": "characters of lines that end with 。！？… or . ! ? and closing quotes, or that hold"
    " 。！？, of all lines' characters",
    "mean_line_chars": "mean length of a line, stripped, in characters",
    "short_line_ratio": f"lines of at most {c.SHORT_LINE_CHARS} characters; in profile cjk {c.SHORT_CJK_LINE_CHARS}",
    "line_break_word_ratio": "line breaks, of lines without text too, per word of any kind",
    "dup_line_ratio": "lines that are equal to an earlier one",
    "dup_line_char_ratio": "characters in them, of all characters",
    "dup_line_own_char_ratio": "characters in them, of all lines' characters",
    "dup_paragraph_ratio": "paragraphs that are equal to an earlier one",
    "dup_paragraph_char_ratio": "characters in them, of all characters",
    **{
        f"top_{n}gram_char_ratio": f"characters in the top {n}-gram, if it occurs twice, of all characters"
        for n in (2, 3, 4)
    },
    **{f"dup_{n}gram_char_ratio": f"characters in repeated {n}-grams, of all characters" for n in range(5, 11)},
}
"""float32 features; a ratio of nothing is 0."""

FEATURES = {**COUNTS, **RATIOS}
"""Each feature's name and what it is."""

COUNT: Any = namedtuple("COUNT", COUNTS)(*range(len(COUNTS)))  # type: ignore[misc]
RATIO: Any = namedtuple("RATIO", RATIOS)(*range(len(RATIOS)))  # type: ignore[misc]
"""The place of each feature in the kernels' arrays, by its name."""


def scan(column: TextColumn) -> dict[str, npt.NDArray[np.int32] | npt.NDArray[np.float32]]:
    """Computes every feature of every document.

    Returns:
        For each name of `FEATURES` an array [n_docs]: int32 for `COUNTS`, float32 for `RATIOS`.
    """
    counts = np.zeros((len(COUNTS), len(column)), np.int32)
    ratios = np.zeros((len(RATIOS), len(column)), np.float32)
    _scan(column.offsets, column.data, load_marks(), int(column.lengths.max(initial=0)), counts, ratios)
    return {**{name: counts[k] for k, name in enumerate(COUNTS)}, **{name: ratios[k] for k, name in enumerate(RATIOS)}}


@kernel
def _scan(offsets, data, tables, longest, counts, ratios):  # type: ignore[no-untyped-def]
    """Fills one column of `counts` and of `ratios` for each document."""
    capacity = longest // 2 + 2
    hashes, ends = np.empty(capacity, np.uint64), np.empty(capacity, np.int32)
    scratch = make_scratch(capacity)
    lines = (np.empty(capacity, np.uint64), np.empty(capacity, np.int32))
    blocks = (np.empty(capacity, np.uint64), np.empty(capacity, np.int32))
    found = np.empty(c.PLACES, np.int64)
    for d in range(len(offsets) - 1):
        if offsets[d] == offsets[d + 1]:
            continue
        text = data[offsets[d] : offsets[d + 1]]
        found[:] = 0
        c.read_text(text, tables, hashes, ends, lines, blocks, found)
        chars, ratio = found[c.CHARS], ratios[:, d]
        _of_counts(found, counts[:, d], ratio)
        repeated, its_chars = duplicates(lines[0], lines[1], found[c.LINES], scratch)
        ratio[RATIO.dup_line_ratio] = repeated / max(found[c.LINES], 1)
        ratio[RATIO.dup_line_char_ratio] = its_chars / max(chars, 1)
        ratio[RATIO.dup_line_own_char_ratio] = its_chars / max(found[c.LINE_CHARS], 1)
        repeated, its_chars = duplicates(blocks[0], blocks[1], found[c.BLOCKS], scratch)
        ratio[RATIO.dup_paragraph_ratio] = repeated / max(found[c.BLOCKS], 1)
        ratio[RATIO.dup_paragraph_char_ratio] = its_chars / max(chars, 1)
        by_token = found[c.WORD_CHARS] > 0 and 10 * found[c.SINGLES] >= 3 * found[c.WORD_CHARS]
        n_units = found[c.WORDS]
        if by_token:
            n_units = c.read_tokens(text, tables.classes, hashes, ends)
        step = 2 if by_token else 1
        gram_repetition(hashes, ends, n_units, step, chars, scratch, ratio[RATIO.top_2gram_char_ratio :])


@kernel
def _of_counts(found, count, ratio):  # type: ignore[no-untyped-def]
    """Fills the features that follow from the counts alone."""
    word_chars, words, lines = found[c.WORD_CHARS], max(found[c.WORDS], 1), max(found[c.LINES], 1)
    solid = max(found[c.CHARS] - found[c.SPACES], 1)
    is_cjk = word_chars > 0 and 10 * found[c.CJK_CHARS] >= 3 * word_chars
    count[COUNT.profile] = CJK if is_cjk else (SPACED if 2 * found[c.LATIN] >= found[c.LETTERS] else OTHER)
    count[COUNT.chars] = found[c.CHARS]
    count[COUNT.text_chars] = found[c.CHARS] - found[c.SPACES]
    count[COUNT.words] = found[c.REAL_WORDS]
    count[COUNT.lines] = found[c.LINES]
    count[COUNT.stop_words] = found[c.STOP_WORDS_FOUND]
    count[COUNT.sentences] = found[c.SENTENCES]
    count[COUNT.cjk_chars] = found[c.CJK_CHARS]
    count[COUNT.foreign_run] = found[c.FOREIGN_RUN]
    count[COUNT.long_lines] = found[c.LONG_LINES]
    count[COUNT.lorem_ipsum] = found[c.LOREM]
    count[COUNT.curly_brackets] = found[c.CURLY]
    ratio[RATIO.mean_word_chars] = found[c.REAL_CHARS] / max(found[c.REAL_WORDS], 1)
    ratio[RATIO.symbol_word_ratio] = max(found[c.NUMBER_SIGNS], found[c.ELLIPSES]) / words
    ratio[RATIO.bullet_line_ratio] = found[c.BULLETS] / lines
    ratio[RATIO.ellipsis_line_ratio] = found[c.DOTTED_LINES] / lines
    ratio[RATIO.alpha_word_ratio] = found[c.ALPHA_WORDS] / words
    ratio[RATIO.cjk_ratio] = found[c.CJK_CHARS] / solid
    ratio[RATIO.punctuation_ratio] = found[c.PUNCTUATION] / solid
    ratio[RATIO.digit_ratio] = found[c.NUMBERS] / solid
    ratio[RATIO.terminal_line_ratio] = found[c.TERMINALS] / lines
    ratio[RATIO.terminal_line_char_ratio] = found[c.TERMINAL_CHARS] / max(found[c.LINE_CHARS], 1)
    ratio[RATIO.mean_line_chars] = found[c.LINE_CHARS] / lines
    ratio[RATIO.short_line_ratio] = (found[c.SHORT_CJK_LINES] if is_cjk else found[c.SHORT_LINES]) / lines
    ratio[RATIO.line_break_word_ratio] = found[c.BREAKS] / words
