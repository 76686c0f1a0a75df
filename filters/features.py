"""What the heuristic filter sees of a document: named features, from one scan.

Evidence, no thresholds: a changed threshold never repeats the scan. All features of all the rules come from
one pass over the bytes (characters, words, lines, paragraphs) and one over the units for n-grams, instead of
one pass a rule as filter classes do: the text is decoded once, and no word ever becomes a Python object.

A **word** is a run without white space (a tokenizer that splits punctuation off counts 10 to 15 % more of
them). A **line** ends as in ``text.segment`` and counts if it holds more than white space; it is compared
stripped. A **paragraph** is a run of such lines without a blank one between. The n-grams are of words; where
3 in 10 or more of the word characters are of scripts without spaces (Han, Kana, Thai, Lao, Khmer, Myanmar),
an "n-gram" is 2 n tokens, each a single character or a run of other letters and digits, since a Chinese word
is some two characters. A character is a code point.

Cost: linear; 50 to 110 MB/s a core.

Source: Rae et al. 2021 (Gopher), appendix A1.1; counting as in datatrove's Gopher filters, which divide by
all characters of the text. Deviations: lines without text do not count, equality is of stripped lines, stop
words are matched in any case and inside punctuation, and a top n-gram must occur twice.
"""

from __future__ import annotations

import numba as nb
import numpy as np
import numpy.typing as npt

from filters.counting import (
    character_kinds,
    count_characters,
    line_marks,
    read_lines,
    read_tokens,
    read_words,
)
from filters.repetition import duplicates, gram_repetition, scratch_of
from text.arrow import TextColumn
from text.chars import char_tables

SPACED, CJK, OTHER = 0, 1, 2
"""Values of the feature ``profile``: which rules apply."""

COUNTS = {
    "profile": "1 cjk: of letters, marks and numbers 3 in 10 or more are Han or Kana; else 0 spaced: half"
    " of the letters or more are Latin, or there are none; else 2 other",
    "chars": "characters",
    "text_chars": "characters that are not white space",
    "words": "words that hold more than punctuation and symbols",
    "lines": "lines that hold more than white space",
    "stop_words": "how many of Gopher's 8 stop words occur, of any case, ASCII signs around them cut off",
}
"""int32 features."""

RATIOS = {
    "mean_word_chars": "mean length of those words, in characters",
    "symbol_word_ratio": "# or ellipses (... and …), whichever is more, per word of any kind",
    "bullet_line_ratio": "lines that start with a bullet, - or *",
    "ellipsis_line_ratio": "lines that end with an ellipsis",
    "alpha_word_ratio": "words of any kind that hold a letter",
    "dup_line_ratio": "lines that are equal to an earlier one",
    "dup_line_char_ratio": "characters in them, of all characters",
    "dup_paragraph_ratio": "paragraphs that are equal to an earlier one",
    "dup_paragraph_char_ratio": "characters in them, of all characters",
    "cjk_ratio": "Han and Kana, of characters that are not white space",
    "punctuation_ratio": "punctuation, of characters that are not white space",
    "digit_ratio": "numbers, of characters that are not white space",
    "terminal_line_ratio": "lines that end with 。！？… or . ! ? and closing quotes",
    "terminal_line_char_ratio": "characters of lines that do or that hold 。！？, of all lines' characters",
    "mean_line_chars": "mean length of a line, stripped, in characters",
    **{
        f"top_{n}gram_char_ratio": f"characters in the top {n}-gram, if it occurs twice, of all characters"
        for n in (2, 3, 4)
    },
    **{f"dup_{n}gram_char_ratio": f"characters in repeated {n}-grams, of all characters" for n in range(5, 11)},
}
"""float32 features; a ratio of nothing is 0."""

FEATURES = {**COUNTS, **RATIOS}
"""Each feature's name and what it is."""


def scan(column: TextColumn) -> dict[str, npt.NDArray[np.int32] | npt.NDArray[np.float32]]:
    """Computes every feature of every document.

    Returns:
        For each name of ``FEATURES`` an array [n_docs]: int32 for ``COUNTS``, float32 for ``RATIOS``.
    """
    counts = np.zeros((len(COUNTS), len(column)), np.int32)
    ratios = np.zeros((len(RATIOS), len(column)), np.float32)
    tables = (char_tables().classes, character_kinds(), line_marks())
    _scan(column.offsets, column.data, tables, int(column.lengths.max(initial=0)), counts, ratios)
    return {
        **{name: counts[k] for k, name in enumerate(COUNTS)},
        **{name: ratios[k] for k, name in enumerate(RATIOS)},
    }


@nb.njit(cache=True)
def _scan(offsets, data, tables, longest, counts, ratios):  # type: ignore[no-untyped-def]
    """Fills a column of ``counts`` and of ``ratios`` a document, in the order of the names."""
    capacity = longest // 2 + 2
    hashes, ends, scratch = scratch_of(capacity)
    lines = (np.empty(capacity, np.uint64), np.empty(capacity, np.int32))
    blocks = (np.empty(capacity, np.uint64), np.empty(capacity, np.int32))
    for d in range(len(offsets) - 1):
        if offsets[d] == offsets[d + 1]:
            continue
        text = data[offsets[d] : offsets[d + 1]]
        n_units, by_token = _characters_and_words(text, tables, hashes, ends, counts[:, d], ratios[:, d])
        if by_token:
            n_units = read_tokens(text, tables[0], hashes, ends)
        chars = counts[1, d]
        n_lines, n_blocks, of_lines = read_lines(text, tables[0], tables[2], lines, blocks)
        counts[4, d] = n_lines
        bullets, ellipses, terminals, terminal_chars, line_chars = of_lines
        ratios[2, d] = bullets / max(n_lines, 1)
        ratios[3, d] = ellipses / max(n_lines, 1)
        ratios[5, d], ratios[6, d] = duplicates(lines[0], lines[1], n_lines, chars, scratch)
        ratios[7, d], ratios[8, d] = duplicates(blocks[0], blocks[1], n_blocks, chars, scratch)
        ratios[12, d] = terminals / max(n_lines, 1)
        ratios[13, d] = terminal_chars / max(line_chars, 1)
        ratios[14, d] = line_chars / max(n_lines, 1)
        gram_repetition(hashes, ends, n_units, 2 if by_token else 1, chars, scratch, ratios[15:, d])


@nb.njit(cache=True)
def _characters_and_words(text, tables, hashes, ends, count, ratio):  # type: ignore[no-untyped-def]
    """Fills what characters and words tell; returns (words, whether n-grams are of tokens instead)."""
    chars, spaces, word_chars, letters, latin, single, cjk, punctuation, numbers = count_characters(text, tables[1])
    words, real_words, real_chars, alpha_words, symbols, stop_words = read_words(text, tables[0], hashes, ends)
    solid = max(chars - spaces, 1)
    is_cjk = word_chars > 0 and 10 * cjk >= 3 * word_chars
    count[0] = CJK if is_cjk else (SPACED if 2 * latin >= letters else OTHER)
    count[1] = chars
    count[2] = chars - spaces
    count[3] = real_words
    count[5] = stop_words
    ratio[0] = real_chars / max(real_words, 1)
    ratio[1] = symbols / max(words, 1)
    ratio[4] = alpha_words / max(words, 1)
    ratio[9] = cjk / solid
    ratio[10] = punctuation / solid
    ratio[11] = numbers / solid
    return words, word_chars > 0 and 10 * single >= 3 * word_chars
